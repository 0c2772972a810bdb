"""A request's body as the data of an event."""

from __future__ import annotations

from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import content, json_text, modes
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused


def data_of(received: Received) -> dict[str, Any]:
    """The body as data: JSON, a form as an object, text, or octets."""
    if received.kind != FORM:
        return content.data_of(received.body, received.headers.get("content-type", ""))
    found: dict[str, Any] = {}
    try:
        fields = received.form
    except Refused as error:
        raise InvalidEvent(str(error)) from None
    for name, value in fields:
        found[name] = [*_list(found[name]), value] if name in found else value
    if found.keys() == {"payload"} and isinstance(found["payload"], str):  # GitHub's and Slack's JSON in a form
        inner = found["payload"].encode()
        if modes.fields_of(inner) is not None:
            json_text.check(inner)
            return {"data": msgspec.Raw(inner)}
    return {"data": found}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
