"""Whatever lies in the stream, as a CloudEvent: other programs publish there too, in other forms.

Taken are: structured CloudEvents, CloudEvents in binary mode (`ce-` headers), the envelope of the upstream sidecar
(`{id, subject, payload, …}`, also wrapped by its queue library), and any other JSON, text or bytes.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope
from openclaw_nats.events.messages import StoredMessage

_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def document_of(message: StoredMessage) -> bytes:
    """The message as one line of JSON: a CloudEvents document. Never fails, whatever the message holds."""
    if b'"specversion"' in message.body[:4096]:
        try:
            envelope.decode(message.body)
            return message.body if b"\n" not in message.body else msgspec.json.format(message.body, indent=-1)
        except InvalidInput:
            pass  # not a CloudEvent after all: show it as what it is
    return msgspec.json.encode(_wrapped(message))


def _wrapped(message: StoredMessage) -> dict[str, Any]:
    headers = {name.lower(): value for name, value in message.headers.items()}
    document: dict[str, Any] = {
        "specversion": "1.0",
        "id": headers.get("nats-msg-id") or f"agent_events:{message.sequence}",
        "source": "nats",
        "type": envelope.type_of(message.subject),
        "subject": message.subject,
        "time": envelope.format_time(message.time // 1_000_000),
    }
    for name, value in headers.items():
        if name.startswith("ce-") and value:
            document[name[3:]] = value
    document |= _data(message.body)
    return document


def _data(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(body).decode()}
    try:
        raw = msgspec.json.decode(body, type=msgspec.Raw)
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return {"datacontenttype": "text/plain", "data": text}
    upstream = _upstream(body)
    return upstream if upstream else {"data": raw}


def _upstream(body: bytes) -> dict[str, Any] | None:
    try:
        fields = _RAW.decode(body)
        if "pattern" in fields and "data" in fields and "payload" not in fields:
            fields = _RAW.decode(fields["data"])
        if not {"id", "subject", "payload"} <= fields.keys():
            return None
        found: dict[str, Any] = {"id": msgspec.json.decode(fields["id"], type=str), "data": fields["payload"]}
        if "sessionKey" in fields:
            found["sessionkey"] = msgspec.json.decode(fields["sessionKey"], type=str)
        return found
    except msgspec.DecodeError:
        return None
