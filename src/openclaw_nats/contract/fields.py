"""What fields of several shapes have in common: their limits, and the words that describe them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

DeliveryState = Literal["pending", "sending", "failed", "delivered", "dead", "dropped", "expired"]
TargetKind = Literal["session", "agent", "wake", "webhook", "subject"]
Window = Literal["hour", "day"]

DURATION = r"^\d{1,6}(ms|s|m|h|d)$"
Time = Annotated[str, Meta(description="RFC 3339, in UTC", extra_json_schema={"format": "date-time"})]
# The pattern is for readers of the document; who compiles a duration says what is wrong with it.
Duration = Annotated[str, Meta(examples=["30s"], extra_json_schema={"pattern": DURATION})]
Priority = Annotated[int, Meta(ge=1, le=10, description="1 (low) to 10 (high)")]
Name = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 128})]
Instruction = Annotated[
    str,
    Meta(
        description="What is to be done, in plain text: it stands after the events, which are data. At most 4 KiB",
        extra_json_schema={"maxLength": 4096},
    ),
]
EventId = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 256})]
Subject = Annotated[
    str,
    Meta(
        examples=["agent.events.custom.door.opened"],
        extra_json_schema={"maxLength": 255, "pattern": r"^agent\.events(\.[^\s.*>]+)+$"},
    ),
]
Pattern = Annotated[
    str,
    Meta(
        description="* is one token, a final > the rest",
        examples=["agent.events.custom.door.>"],
        extra_json_schema={"maxLength": 255},
    ),
]


# Any JSON value; what it holds is its writer's affair.
Json = Annotated[object, Meta(extra_json_schema={"description": "any JSON value"})]
JsonObject = dict[str, Json]
# A setting's value: a duration or size with its unit, or what several settings hold, as a list.
WrittenValue = str | int | float | bool | list[Json]


class Answer(Struct, rename="camel"):
    """What the API answers: encoded from its struct, so that it is what the OpenAPI document says."""


class Unreadable(Answer):
    """A stored record that this version can't read. It stays stored; only this list mentions it."""

    name: str
    reason: str
