"""The event: a CloudEvents 1.0 document in structured JSON (https://github.com/cloudevents/spec, v1.0.2).

`data` stays the bytes that it came as (`msgspec.Raw`): nothing between plugin and stream has to parse it.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent, TooLarge
from openclaw_nats.events import json_text
from openclaw_nats.events.subjects import PREFIX, check_subject

MAX_EVENT_BYTES = 1024 * 1024
DEFAULT_PRIORITY = 5
CONTENT_TYPE = "application/cloudevents+json"

MAX_HOPS = 1000
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ID_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Event(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """One event. Attributes that are not known are empty text and are left out of the document.

    `madeby` is written by the sidecar alone, into what an agent made (events/makers.py); it only takes rights away, so
    that whoever else writes it gains nothing.
    """

    specversion: str = msgspec.field(default="")
    id: str
    source: str
    type: str
    subject: str
    time: str = ""
    datacontenttype: str = ""
    gatewayid: str = ""
    agentid: str = ""
    sessionkey: str = ""
    sessionid: str = ""
    runid: str = ""
    traceparent: str = ""
    tracestate: str = ""
    traceid: str = ""
    correlationid: str = ""
    causationid: str = ""
    madeby: Any = ""
    hops: int = 0
    priority: int = DEFAULT_PRIORITY
    data: msgspec.Raw = msgspec.Raw(b"")


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder()
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_FIELDS = frozenset(Event.__struct_fields__)
# Attributes that the specification does not know: others may use the same names for something else.
_OURS = _FIELDS - {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "traceparent", "data"}
_WANTS_CARE = re.compile(rb':\s*null\s*[,}]|"data_base64"')


def encode(event: Event) -> bytes:
    """Serialise an event to its JSON document."""
    return _encoder.encode(event)


def decode(document: bytes) -> Event:
    """Parse and check one CloudEvent; raise InvalidEvent, InvalidSubject or TooLarge."""
    return read(document)[0]


def read(document: bytes, *, subject_of: Callable[[str], str] | None = None) -> tuple[Event, bytes]:
    """One CloudEvent, checked, and the document to store for it: most often the very bytes that came.

    No attribute may be there twice: readers differ in which counts. Extension attributes that this project does not
    know are kept. One that it knows (`priority`, say) and that holds something else than ours does is the publisher's
    own: it is kept too, and counts for nothing. Attributes that are null, and a time without text, are as if they were
    not there (JSON format, 2.3), and times are written with capital letters. `subject_of` gives the subject for the
    type of an event that names none. Raise InvalidEvent, InvalidSubject or TooLarge.
    """
    if len(document) > MAX_EVENT_BYTES:
        raise TooLarge(f"the event is {len(document)} bytes long; the limit is {MAX_EVENT_BYTES}")
    try:
        document.decode()
        json_text.check(document)
        fields = _RAW.decode(document)
        if twice := json_text.repeated(document, fields):
            raise InvalidEvent(f"the event has the attribute {twice[:40]!r} twice")
        try:
            event = _decoder.decode(document)
            as_it_is = not _WANTS_CARE.search(document) and event.time == event.time.upper()
            as_it_is = as_it_is and 1 <= event.priority <= 10 and 0 <= event.hops <= MAX_HOPS
            as_it_is = as_it_is and bool(event.time or "time" not in fields)
        except msgspec.ValidationError:
            as_it_is = False
        if not as_it_is:
            document, event = _with_care(fields, document, subject_of)
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the event is not valid UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise InvalidEvent("the event is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"the event is not a CloudEvent: {error}") from None
    except msgspec.DecodeError as error:
        raise InvalidEvent(f"the event is not valid JSON: {error}") from None
    check(event)
    return event, document


def traced(event: Event, document: bytes, traceparent: str) -> tuple[Event, bytes]:
    """An event of `read` in the trace of the headers that it came with, when it names none itself."""
    if not traceparent or event.traceparent:
        return event, document
    return read(_encoder.encode({**_RAW.decode(document), "traceparent": traceparent}))


def _with_care(
    fields: dict[str, msgspec.Raw], document: bytes, subject_of: Callable[[str], str] | None
) -> tuple[bytes, Event]:
    kept = {name: raw for name, raw in fields.items() if name == "data" or bytes(raw) != b"null"}
    time = _text_of(kept.get("time"))
    if time == "":
        del kept["time"]
    elif time is not None and time != time.upper():
        kept["time"] = _raw(time.upper())
    if subject_of is not None and "subject" not in kept and (kind := _text_of(kept.get("type"))):
        kept["subject"] = _raw(subject_of(kind))
    if "data_base64" in kept:
        _check_octets(kept)
    view = {name: raw for name, raw in kept.items() if name in _FIELDS and _counts(name, raw)}
    if (number := _text_of(view.get("priority"))) is not None:
        view["priority"] = msgspec.Raw(number.encode())
    event = _decoder.decode(_encoder.encode(view))
    return (document if kept == fields else _encoder.encode(kept)), event


def _counts(name: str, raw: msgspec.Raw) -> bool:
    """Whether an attribute holds what ours by that name does; those of the specification always count."""
    if name in ("priority", "hops"):
        number = bytes(raw).strip(b'"') if name == "priority" else bytes(raw)
        lowest, highest = (1, 10) if name == "priority" else (0, MAX_HOPS)
        return number.isdigit() and len(number) < 5 and lowest <= int(number) <= highest
    return name not in _OURS or _text_of(raw) is not None


def _check_octets(fields: dict[str, msgspec.Raw]) -> None:
    if "data" in fields:
        raise InvalidEvent("the event has both data and data_base64: it can only have one of them")
    text = _text_of(fields["data_base64"])
    try:
        base64.b64decode(text or "", validate=True)
    except ValueError:
        text = None
    if text is None:
        raise InvalidEvent("data_base64 must be text in Base64")


def _text_of(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else msgspec.json.decode(raw, type=str)
    except msgspec.MsgspecError:
        return None


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(text))


def check(event: Event) -> None:
    """Check each attribute of a parsed event; raise InvalidEvent or InvalidSubject that names the attribute."""
    if event.specversion != "1.0":
        raise InvalidEvent(f'specversion must be "1.0", not {event.specversion[:20]!r}')
    check_id(event.id)
    check_subject(event.subject)
    for name in ("source", "type"):
        value = getattr(event, name)
        if not value or len(value) > 1024 or _ID_FORBIDDEN.search(value):
            raise InvalidEvent(f"{name} must be 1 to 1024 printable characters")
    if event.time and not is_time(event.time):
        raise InvalidEvent(f"time must be an RFC 3339 time, not {event.time[:40]!r}")
    check_priority(event.priority)
    if not 0 <= event.hops <= MAX_HOPS:
        raise InvalidEvent(f"hops must be from 0 to {MAX_HOPS}, not {event.hops}")
    if event.traceparent and not is_traceparent(event.traceparent):
        raise InvalidEvent("traceparent must have the form of W3C Trace Context, version 00")


def check_id(value: object) -> str:
    """Return `value` if it can be an event's id: 1 to 256 printable characters without line breaks."""
    if not isinstance(value, str) or not value or len(value.encode("utf-8", "replace")) > 256:
        raise InvalidEvent("id must be text of 1 to 256 bytes")
    if _ID_FORBIDDEN.search(value) or value != value.strip() or not _encodable(value):
        raise InvalidEvent("id must not contain control characters, nor begin or end with a space")
    return value


def check_priority(value: object) -> int:
    """Return `value` if it is a priority: a whole number from 1 (low) to 10 (high, goes first)."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 10:
        raise InvalidEvent(f"priority must be a whole number from 1 (low) to 10 (high), not {str(value)[:20]}")
    return value


def is_traceparent(value: str) -> bool:
    """Whether `value` has the form of a W3C `traceparent` header."""
    return bool(_TRACEPARENT.fullmatch(value))


def is_time(value: str) -> bool:
    """Whether `value` is an RFC 3339 date and time with a zone."""
    try:
        return parse_time(value) is not None
    except ValueError:
        return False


def parse_time(value: str) -> datetime:
    """Parse an RFC 3339 time; raise ValueError when it has no zone or is not one (ISO 8601 has more forms)."""
    if _RFC_3339.fullmatch(value) is None:
        raise ValueError("no RFC 3339 time")
    value = value.upper()
    if value[17:19] == "60":  # a leap second (RFC 3339, 5.7): no clock of ours has one
        value = f"{value[:17]}59{value[19:]}"
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None or "T" not in value:
        raise ValueError("no time zone")
    return parsed


def format_time(milliseconds: int) -> str:
    """Format milliseconds since the Unix epoch as RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def format_seconds(seconds: float) -> str:
    """Format seconds since the Unix epoch as `format_time` does."""
    return format_time(int(seconds * 1000))


def format_past(seconds: float) -> str:
    """Format when something happened: never later than now, also if the clock was ahead then and is put right since."""
    return format_seconds(min(seconds, time.time()))


def type_of(subject: str) -> str:
    """The CloudEvents type for a subject published without one: `agent.events.custom.a` → `openclaw.custom.a`."""
    return "openclaw." + subject.removeprefix(PREFIX)


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
