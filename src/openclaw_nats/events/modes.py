"""Which CloudEvents mode a message is in, over HTTP and over NATS alike, and the message as a CloudEvents document.

Structured: the body is the event, as its content type or its own `specversion` says. Binary: the attributes are in
`ce-` headers and the body is the data. Plain: there is no CloudEvent, so the body is the data of one that we make.
Sources: CloudEvents 1.0.2, its HTTP binding (3.1 to 3.3) and its NATS binding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import content, json_text
from openclaw_nats.events.subjects import PREFIX

STRUCTURED = ("application/cloudevents", "application/cloudevents+json")
BATCH = "application/cloudevents-batch+json"
TWICE = "ce- twice"  # among headers: the name of an attribute's header that appears twice; no client can write this one
PUBLISHERS_SUBJECT = "cesubject"
_ATTRIBUTE = re.compile(r"[a-z0-9_-]{1,100}")
_NEEDED = ("specversion", "id", "source", "type")
_NO_ATTRIBUTES = ("data", "data_base64")
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def is_structured(kind: str) -> bool:
    """Whether a media type says that the body is one or more whole CloudEvents."""
    return kind.startswith("application/cloudevents")


def is_binary(headers: Mapping[str, str]) -> bool:
    """Whether attributes are in the headers, whose names are in lower case."""
    return any(name.startswith("ce-") for name in headers) and not is_structured(
        content.media_type(headers.get("content-type", ""))
    )


def check_format(kind: str) -> None:
    """Raise InvalidEvent for a format of whole CloudEvents that can't be read here."""
    if kind == BATCH:
        raise InvalidEvent("a batch of CloudEvents can't be one message", hint="Publish each event by itself.")
    if is_structured(kind) and kind not in STRUCTURED:
        raise InvalidEvent(f"CloudEvents in the format {kind[:80]} can't be read", hint=f"Use {STRUCTURED[1]}.")


def fields_of(body: bytes) -> dict[str, msgspec.Raw] | None:
    """The top level of a JSON object; None for what is none."""
    if body.lstrip()[:1] != b"{":
        return None
    try:
        body.decode()
        return _RAW.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def is_event(fields: Mapping[str, msgspec.Raw]) -> bool:
    """Whether a JSON object is meant as a CloudEvent: a text in it that is called so, deeper, does not make it one."""
    if "specversion" not in fields:
        return False
    return bytes(fields["specversion"]) == b'"1.0"' or fields.keys() >= {"id", "source", "type"}


def breaks_off(body: bytes) -> bool:
    """Whether a body that is no JSON object was meant as a CloudEvent: text may begin with a brace, too."""
    return body.lstrip()[:1] == b"{" and b'"specversion"' in body


def with_subject(body: bytes, fields: Mapping[str, msgspec.Raw], subject: str) -> bytes:
    """A CloudEvent on the subject that it was published on, which decides; its own stays as `cesubject`."""
    if json_text.repeated(body, fields):
        return body  # refused by whoever reads it
    own, wanted = fields.get("subject"), msgspec.Raw(msgspec.json.encode(subject))
    if own is not None and bytes(own) == bytes(wanted):
        return body
    kept = {} if own is None or bytes(own) == b"null" else {PUBLISHERS_SUBJECT: own}
    return msgspec.json.encode({**fields, "subject": wanted, **kept})


def binary(headers: Mapping[str, str], body: bytes, subject: str, made: Mapping[str, Any]) -> bytes:
    """An event in binary mode. `headers` have names in lower case; `made` is what stands for attributes not given.

    Without `ce-specversion` the headers are attributes of a plain message, and none of them is needed.
    """
    if TWICE in headers:
        raise InvalidEvent(f"the header {headers[TWICE][:40]} appears twice")
    given: dict[str, Any] = {}
    for header, text in headers.items():
        name = header.removeprefix("ce-")
        if name == header or name in _NO_ATTRIBUTES or not text or not _ATTRIBUTE.fullmatch(name):
            continue
        value = decoded(header, text)
        given[name] = int(value) if name in ("priority", "hops") and re.fullmatch("[0-9]{1,9}", value) else value
    if "specversion" in given and (missing := [name for name in _NEEDED if name not in given]):
        raise InvalidEvent(f"the event is not a CloudEvent: the header ce-{missing[0]} is missing")
    own = given.pop("subject", subject)
    if own != subject:
        given[PUBLISHERS_SUBJECT] = own
    declared = given.pop("datacontenttype", "") or headers.get("content-type", "")
    data = content.data_of(body, declared) if body else ({"datacontenttype": declared} if declared else {})
    return msgspec.json.encode({**made, **given, "subject": subject, **data})


def decoded(name: str, text: str) -> str:
    """A header's value: surrounding quotes are taken away and `%C3%BC` is `ü`; raise InvalidEvent (HTTP 3.1.3.2)."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as error:
        raise InvalidEvent(
            f"the header {name} is not percent-encoded UTF-8: {error.reason} at byte {error.start}"
        ) from None


def plain(headers: Mapping[str, str], body: bytes, subject: str, made: Mapping[str, Any]) -> bytes:
    """A message that is no CloudEvent, as one: its body is the data."""
    return msgspec.json.encode({**made, "subject": subject, **content.data_of(body, headers.get("content-type", ""))})


def subject_for(kind: str) -> str:
    """The subject of an event that names none, by its type: `com.example.a` → `agent.events.custom.com.example.a`."""
    tokens = [re.sub(r"[^A-Za-z0-9_-]", "_", token)[:32] for token in kind.split(".") if token]
    room = tokens[2:] if tokens[:2] == ["openclaw", "custom"] else tokens
    return ".".join([PREFIX + "custom", *room[:6]])
