"""Publishing: what is sent, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from openclaw_nats.contract.fields import Answer, EventId, Json, Priority, Subject

_LONG = {"minLength": 1, "maxLength": 1024}
# It is checked by whoever takes the event, with words of its own: elsewhere the name may stand for something else.
_AnyPriority = Annotated[object, Meta(extra_json_schema={"type": "integer", "minimum": 1, "maximum": 10, "default": 5})]


class CloudEvent(Struct, kw_only=True):
    """A CloudEvents 1.0 event in structured JSON. Extension attributes that are not listed here are kept.

    Without `subject` it is made of `type`.
    """

    specversion: Literal["1.0"]
    id: EventId
    source: Annotated[str, Meta(extra_json_schema=_LONG)]
    type: Annotated[str, Meta(extra_json_schema=_LONG)]
    subject: Subject | UnsetType = UNSET
    time: Annotated[str, Meta(extra_json_schema={"format": "date-time"})] | UnsetType = UNSET
    priority: Priority = 5
    data: Json | UnsetType = UNSET


class TraceFields(Struct, rename="camel"):
    """Optional tracing fields of a publish request."""

    priority: _AnyPriority = None
    trace_id: str = ""
    correlation_id: str = ""


class PublishRequest(Struct, rename="camel"):
    """The body of `POST /api/publish`: a subject and the event's data."""

    subject: Subject
    payload: Raw
    id: EventId | None = None
    type: Annotated[str, Meta(extra_json_schema=_LONG)] | None = None
    priority: _AnyPriority = None
    session_key: Annotated[str, Meta(extra_json_schema={"maxLength": 2048})] = ""
    meta: TraceFields = field(default_factory=TraceFields)


class Published(Answer):
    """One event is stored. `routes`, when asked for: the enabled routes whose pattern covers its subject."""

    id: str
    subject: str
    sequence: int
    duplicate: bool
    routes: list[str] | UnsetType = UNSET


class Rejected(Answer):
    """An event of a batch that can never be stored: its place among the events, from 0; of NDJSON its line, from 1."""

    index: int
    error: str
    line: int | UnsetType = UNSET


class Ingested(Answer):
    """What became of a batch. For one event alone also which it is."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    filtered: int
    id: str | UnsetType = UNSET
    subject: str | UnsetType = UNSET
