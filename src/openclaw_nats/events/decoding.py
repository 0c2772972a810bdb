"""Whatever lies in the stream, as a CloudEvent: other programs publish there too, in other forms.

Taken are: structured CloudEvents, CloudEvents in binary mode (modes.py), the envelope of the upstream sidecar
(`{id, subject, payload, …}`, also wrapped by its queue library), and any other JSON, text or octets (content.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidInput, TooLarge
from openclaw_nats.events import content, envelope, json_text, modes, trace
from openclaw_nats.events.conditions import Context, context_of
from openclaw_nats.events.lateness import too_late
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import OUTSIDE, Origin

# Of @omnixal/openclaw-nats-plugin, versions up to 0.2.18, and of the library through which its queue went.
_UPSTREAM = {"id", "subject", "payload", "timestamp", "sessionKey", "meta"}
_UPSTREAM_META = {"priority": "priority", "traceId": "traceid", "correlationId": "correlationid"}
_QUEUED = {"id", "pattern", "data"}
_OUR_BEGINNING = b'{"specversion":"1.0",'
_OWNER = ("gatewayid", "agentid", "sessionkey", "subject", "source", "madeby")
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def document_of(message: StoredMessage) -> bytes:
    """The message as one line of JSON: a CloudEvents document. Never fails, whatever the message holds."""
    return decode_message(message)[0].document


def document_with_origin(document: bytes, origin: Origin) -> bytes:
    """A document with who said it as the attributes `openclaworigin` and `openclawtainted`, whatever it says itself."""
    if b'"openclaworigin"' in document or b'"openclawtainted"' in document or b"\\u" in document:
        fields = _RAW.decode(document)
        fields.pop("openclaworigin", None)
        fields.pop("openclawtainted", None)
        document = msgspec.json.encode(fields)
    said = msgspec.json.encode({"openclaworigin": origin.name, "openclawtainted": origin.tainted})
    return said if document == b"{}" else document.rstrip()[:-1] + b"," + said[1:]


@dataclass(slots=True)
class Decoded:
    """A message on its way in, decoded once: its document, what routing has to know of its envelope, its context.

    `owner` holds the attributes by which events.makers decides whose it is. Where they are not `believed`, they are
    somebody's words: conditions do not see them.
    """

    id: str
    document: bytes
    priority: int = envelope.DEFAULT_PRIORITY
    hops: int = 0
    runid: str = ""
    sessionkey: str = ""
    owner: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = OUTSIDE
    believed: bool = True
    _context: Context | None = field(default=None, repr=False, compare=False)
    _values: int = field(default=-1, repr=False, compare=False)

    @property
    def values(self) -> int:
        """About how many values its document has, counted once; more, where its texts hold commas and brackets."""
        if self._values < 0:
            self._values = sum(map(self.document.count, (b",", b"[", b"{")))
        return self._values

    @property
    def owners(self) -> tuple[Mapping[str, str], ...]:
        """Whose it may be: as it says itself and, where that is not believed, nobody's. Who may see both, sees it."""
        return (self.owner,) if self.believed else (self.owner, nobodys(self.owner))

    @property
    def context(self) -> Context:
        """What conditions see of it, worked out once. Raises Poison for numbers that nothing can read."""
        if self._context is None:
            self._context = context_of(json_text.values(self.document), self.origin.name, believed=self.believed)
        return self._context


def nobodys(event: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of an event's attributes when nothing in it says whose it is."""
    return {"subject": event.get("subject", ""), "source": "outside"}


def decode_message(message: StoredMessage) -> tuple[Decoded, str]:
    """The message and, when it can't be delivered as an event, why (else empty). Never fails.

    Text and octets are events too; JSON that breaks off although the content type says JSON, and CloudEvents with an
    attribute that is missing or wrong, are not.
    """
    message = _with_fire_time(well_formed(message))
    try:
        event, document = event_of(message)
    except InvalidInput as error:
        unread = Decoded(_id_of(message), _shown(message), origin=message.origin, believed=message.believed)
        return unread, str(error)
    if b"\n" in document or b"\r" in document:
        document = msgspec.json.format(document, indent=-1)
    owner = {name: getattr(event, name) for name in _OWNER}
    session = event.sessionkey if message.believed else ""
    facts = (event.id, document, event.priority, event.hops, event.runid, session, owner)
    return Decoded(*facts, message.origin, message.believed), ""


def event_of(message: StoredMessage) -> tuple[envelope.Event, bytes]:
    """The event in a message and its document; raise InvalidInput for what is none."""
    body = content.without_mark(message.body)
    if len(body) > envelope.MAX_EVENT_BYTES:
        raise TooLarge(f"the event is {len(body)} bytes long; the limit is {envelope.MAX_EVENT_BYTES}")
    headers = {name.lower(): value for name, value in message.headers.items()}
    kind = content.media_type(headers.get("content-type", ""))
    if not kind and trace.HEADER not in headers and body.startswith(_OUR_BEGINNING) and not modes.is_binary(headers):
        with contextlib.suppress(InvalidInput):  # the common case, at half the cost
            event, document = envelope.read(body)
            if event.subject == message.subject:
                return event, document
    modes.check_format(kind)
    if modes.is_binary(headers):
        return envelope.read(modes.binary(headers, message.body, message.subject, _made(message)))
    structured = modes.is_structured(kind)
    fields = modes.fields_of(body) if structured or not kind or content.is_json(kind) else None
    if fields is None and (structured or (not kind and modes.breaks_off(body))):
        return envelope.read(body)  # which says what is wrong with it
    if fields is not None and (structured or modes.is_event(fields)):
        # The subject that it was published on decides: NATS' own permissions are about that one.
        placed = modes.with_subject(body, fields, message.subject)
        try:
            return envelope.traced(*envelope.read(placed), _traceparent(message))
        except InvalidInput:
            if structured or not kind:
                raise  # with another content type it may be JSON that only resembles an event
    upstream = _upstream(body, message.subject) if fields is not None else None
    if upstream is not None:
        return envelope.read(msgspec.json.encode({**_made(message), **upstream}))
    return envelope.read(modes.plain(headers, message.body, message.subject, _made(message)))


def _shown(message: StoredMessage) -> bytes:
    """What can't be delivered as an event, as a document all the same: its body is the data, text or octets."""
    return msgspec.json.encode({**_made(message), **content.shown(message.body)})


def well_formed(message: StoredMessage) -> StoredMessage:
    """The message with whole characters only: those of body and headers that are half a pair become U+FFFD."""
    body = json_text.well_formed(message.body)
    headers = message.headers
    if not all(value.isascii() for value in headers.values()):
        headers = {name: json_text.whole_text(value) for name, value in headers.items()}
    if body is message.body and headers is message.headers:
        return message
    return dataclasses.replace(message, body=body, headers=headers)


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
            shown: dict[str, Any] = {**note, "firedAt": envelope.format_time(message.time // 1_000_000)}
            if too_late(message.headers, message.time / 1e9) is not None:
                shown["skipped"] = True
            data[name] = msgspec.Raw(msgspec.json.encode(shown))
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


def _made(message: StoredMessage) -> dict[str, Any]:
    """The attributes of an event that names none."""
    made = {
        "specversion": "1.0",
        "id": _id_of(message),
        "source": "nats",
        "type": envelope.type_of(message.subject),
        "subject": message.subject,
        "time": envelope.format_time(message.time // 1_000_000),
    }
    traceparent = _traceparent(message)
    return {**made, "traceparent": traceparent} if traceparent else made


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
