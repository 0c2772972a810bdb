"""The event that a request becomes."""

from __future__ import annotations

from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import content, envelope, json_text, modes
from openclaw_nats.sources.naming import subject_of, type_of
from openclaw_nats.sources.schemes.scheme import FORM, Received, Refused
from openclaw_nats.sources.stored import StoredSource


def event_of(
    source: StoredSource, received: Received, kind: str, name: str, number: str, now: int
) -> tuple[envelope.Event, bytes]:
    """The event and its document: what happened is its `name`, `number` its id, `now` in milliseconds.

    Raises InvalidInput for a body that can't be its data.
    """
    made = {
        "specversion": "1.0",
        "id": number,
        "source": f"webhook/{source.name}",
        "type": type_of(kind, name),
        "time": envelope.format_time(now),
        "subject": subject_of(source.subject, name),
    }
    return envelope.read(json_text.well_formed(msgspec.json.encode({**made, **_data_of(received)})))


def _data_of(received: Received) -> dict[str, Any]:
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
