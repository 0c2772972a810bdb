"""Whatever lies in the stream, as a CloudEvent: other programs publish there too, in other forms.

Taken are: structured CloudEvents, CloudEvents in binary mode (`ce-` headers), the envelope of the upstream sidecar
(`{id, subject, payload, …}`, also wrapped by its queue library), and any other JSON, text or bytes.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent, InvalidInput, TooLarge
from openclaw_nats.events import envelope, json_text, trace
from openclaw_nats.events.lateness import too_late
from openclaw_nats.events.messages import StoredMessage

# Of @omnixal/openclaw-nats-plugin, versions up to 0.2.18, and of the library through which its queue went.
_UPSTREAM = {"id", "subject", "payload", "timestamp", "sessionKey", "meta"}
_UPSTREAM_META = {"priority": "priority", "traceId": "traceid", "correlationId": "correlationid"}
_QUEUED = {"id", "pattern", "data"}
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def document_of(message: StoredMessage) -> bytes:
    """The message as one line of JSON: a CloudEvents document. Never fails, whatever the message holds."""
    message = _with_fire_time(_well_formed(message))
    if b'"specversion"' in message.body[:4096]:
        try:
            envelope.decode(message.body)
            body = _with_trace(message)
            return body if b"\n" not in body else msgspec.json.format(body, indent=-1)
        except InvalidInput:
            pass  # not a CloudEvent after all: show it as what it is
    return msgspec.json.encode(_wrapped(message))


@dataclass(frozen=True, slots=True)
class Decoded:
    """What routing has to know of a message, and the message as a CloudEvents document."""

    id: str
    document: bytes
    priority: int = envelope.DEFAULT_PRIORITY
    hops: int = 0
    runid: str = ""
    sessionkey: str = ""


def decode_message(message: StoredMessage) -> tuple[Decoded, str]:
    """The message and, when it can't be delivered as an event, why (else empty). Never fails.

    Text that is no JSON is an event too; bytes that are no text, JSON that breaks off, and CloudEvents with a field
    missing or of the wrong type are not.
    """
    message = _with_fire_time(_well_formed(message))
    try:
        document = _event_document(message)
        event = envelope.decode(document)
    except InvalidInput as error:
        return Decoded(_id_of(message), document_of(message)), str(error)
    return Decoded(event.id, document, event.priority, event.hops, event.runid, event.sessionkey), ""


def _event_document(message: StoredMessage) -> bytes:
    body = message.body
    if len(body) > envelope.MAX_EVENT_BYTES:
        raise TooLarge(f"the event is {len(body)} bytes long; the limit is {envelope.MAX_EVENT_BYTES}")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the event is not valid UTF-8: {error.reason} at byte {error.start}") from None
    if b'"specversion"' in body[:4096]:
        json_text.check(body)
        fields = _object(body)
        if fields is None or "specversion" not in fields:
            raise InvalidEvent("the event is not a CloudEvent: its JSON can't be read")
        subject = msgspec.json.encode(message.subject)
        if fields.get("subject") == msgspec.Raw(subject):
            return _with_trace(message)
        # The subject that it was published on decides: NATS' own permissions are about that one.
        body = msgspec.json.encode({**fields, "subject": msgspec.Raw(subject)})
        return _with_trace(dataclasses.replace(message, body=body))
    looks_like_json = body.lstrip()[:1] in (b"{", b"[") or "json" in message.headers.get("Content-Type", "")
    if looks_like_json:
        try:
            json_text.check(body)
            msgspec.json.decode(body, type=msgspec.Raw)  # the syntax alone: see json_text on numbers
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidEvent(f"the event is not valid JSON: {str(error)[:200]}") from None
    wrapped = _wrapped(message)
    for name in ("priority", "hops"):
        if re.fullmatch("[0-9]{1,9}", str(wrapped.get(name, ""))):
            wrapped[name] = int(wrapped[name])
    return msgspec.json.encode(wrapped)


def _well_formed(message: StoredMessage) -> StoredMessage:
    """The message with whole characters only: those of body and headers that are half a pair become U+FFFD."""
    body = json_text.well_formed(message.body)
    headers = message.headers
    if not all(value.isascii() for value in headers.values()):
        headers = {name: json_text.whole_text(value) for name, value in headers.items()}
    if body is message.body and headers is message.headers:
        return message
    return dataclasses.replace(message, body=body, headers=headers)


def _with_trace(message: StoredMessage) -> bytes:
    """A CloudEvent that came with a `traceparent` header: the header counts where the event itself names none."""
    traceparent = _traceparent(message)
    if not traceparent or "traceparent" in (fields := _object(message.body) or {}):
        return message.body
    return msgspec.json.encode({**fields, "traceparent": msgspec.Raw(msgspec.json.encode(traceparent))})


def _traceparent(message: StoredMessage) -> str:
    for name in message.headers:
        if name.lower() == trace.HEADER:
            return trace.given(message.headers[name])
    return ""


def _with_fire_time(message: StoredMessage) -> StoredMessage:
    """An event that a schedule fired was written before it fired: when it did is when it was stored.

    One that came later than it was wanted is marked as skipped.
    """
    if "Nats-Scheduler" not in message.headers:
        return message
    fields = _object(message.body) or {}
    data = _object(fields.get("data", b"")) or {}
    for name in ("_cron", "_timer"):
        if (note := _object(data.get(name, b""))) and "firedAt" in note:
            told: dict[str, Any] = {**note, "firedAt": envelope.format_time(message.time // 1_000_000)}
            if too_late(message.headers, message.time / 1e9) is not None:
                told["skipped"] = True
            data[name] = msgspec.Raw(msgspec.json.encode(told))
            body = msgspec.json.encode({**fields, "data": msgspec.Raw(msgspec.json.encode(data))})
            return dataclasses.replace(message, body=body)
    return message


def _object(body: bytes | msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    try:
        return _RAW.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _id_of(message: StoredMessage) -> str:
    ids = [value for name, value in message.headers.items() if name.lower() == "nats-msg-id" and value]
    return ids[0] if ids else f"agent_events:{message.sequence}"


def _wrapped(message: StoredMessage) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in message.headers.items()}
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": _id_of(message),
        "source": "nats",
        "type": envelope.type_of(message.subject),
        "subject": message.subject,
        "time": envelope.format_time(message.time // 1_000_000),
    }
    if traceparent := _traceparent(message):
        document["traceparent"] = traceparent
    for name, value in headers.items():
        if name.startswith("ce-") and value:
            document[name[3:]] = value
    document |= _data(message.body, message.subject)
    return document


def _data(body: bytes, subject: str) -> dict[str, Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(body).decode()}
    try:
        json_text.check(body)
        raw = msgspec.json.decode(body, type=msgspec.Raw)
    except (InvalidEvent, msgspec.DecodeError, RecursionError):
        return {"datacontenttype": "text/plain", "data": text}
    upstream = _upstream(body, subject)
    return upstream if upstream else {"data": raw}


def _upstream(body: bytes, subject: str) -> dict[str, Any] | None:
    """The envelope of the upstream sidecar; None for what only resembles it, which then keeps all of its fields.

    It names the subject that it is published on, and has no other fields than these.
    """
    try:
        fields = _RAW.decode(body)
        if fields.keys() <= _QUEUED and {"pattern", "data"} <= fields.keys():
            fields = _RAW.decode(fields["data"])
        if not {"id", "subject", "payload"} <= fields.keys() <= _UPSTREAM:
            return None
        if msgspec.json.decode(fields["subject"]) != subject:
            return None
        meta = _RAW.decode(fields["meta"]) if "meta" in fields else {}
        if not meta.keys() <= _UPSTREAM_META.keys():
            return None
        found: dict[str, Any] = {"id": msgspec.json.decode(fields["id"], type=str), "data": fields["payload"]}
        if "sessionKey" in fields:
            found["sessionkey"] = msgspec.json.decode(fields["sessionKey"], type=str)
        if "timestamp" in fields and envelope.is_time(time := msgspec.json.decode(fields["timestamp"], type=str)):
            found["time"] = time
        for name, value in meta.items():
            found[_UPSTREAM_META[name]] = msgspec.json.decode(value, type=Any if name == "priority" else str)
        if "priority" in found and found["priority"] not in range(1, 11):
            del found["priority"]
        return found
    except msgspec.MsgspecError:
        return None
