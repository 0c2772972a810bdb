"""What a mail says: headers and text, of its attachments only names and sizes. Runs in a process of its own
(read_worker.py).
"""

from __future__ import annotations

import email.header
import email.utils
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.message import Message
from email.parser import BytesHeaderParser, BytesParser
from typing import Any

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.watchers.text import shortened, text_of, tidy

MOST_PARTS = 200
_TEXT, _SUBJECT, _ADDRESSES, _NAME, _ID = 32_000, 500, 2000, 200, 300
_LONGEST_HEADER = 10_000  # characters of one as it is written
_MOST_ATTACHMENTS = 50


def read(body: bytes) -> dict[str, Any]:
    """The data of a mail, as much of it as can be read."""
    try:
        message: Message = BytesParser().parsebytes(body)
        parts = list(_parts(message))
        whole = True
    except (RecursionError, ValueError, LookupError, AttributeError, TypeError):  # what the parser trips over
        message, parts, whole = BytesHeaderParser().parsebytes(body[: 64 << 10]), [], False
    data: dict[str, Any] = {}
    for name, key, most in (
        ("From", "from", _ADDRESSES),
        ("To", "to", _ADDRESSES),
        ("Cc", "cc", _ADDRESSES),
        ("Reply-To", "replyTo", _ADDRESSES),
        ("Subject", "subject", _SUBJECT),
        ("Message-ID", "messageId", _ID),
        ("In-Reply-To", "inReplyTo", _ID),
    ):
        if value := _header(message, name, most):
            data[key] = value
    if date := _date(_header(message, "Date", 100)):
        data["date"] = date
    data["text"] = _text(parts)
    if attachments := [_attachment(one) for one in parts if _is_attachment(one)]:
        data["attachments"] = attachments[:_MOST_ATTACHMENTS]
        if len(attachments) > _MOST_ATTACHMENTS:
            data["moreAttachments"] = len(attachments) - _MOST_ATTACHMENTS
    if not whole:
        data["unreadable"] = "its parts are nested too deeply, or broken"
    return data


def _parts(message: Message) -> Iterator[Message]:
    """The parts that hold something, at most so many; a mail in a mail is one."""
    waiting, count = [message], 0
    while waiting and count < MOST_PARTS:
        part = waiting.pop()
        if part.get_content_maintype() == "multipart" and isinstance(part.get_payload(), list):
            inner: Any = part.get_payload()
            waiting += reversed(inner[:MOST_PARTS])
            continue
        count += 1
        yield part


def _is_attachment(part: Message) -> bool:
    return part.get_content_maintype() != "text" or part.get_content_disposition() == "attachment" or bool(_name(part))


def _attachment(part: Message) -> dict[str, Any]:
    return {"name": _name(part), "type": shortened(part.get_content_type(), 100), "bytes": len(_octets(part))}


def _octets(part: Message) -> bytes:
    payload: Any = part.get_payload(decode=True)
    if isinstance(payload, bytes):
        return payload
    inner = part.get_payload()
    return bytes(inner[0]) if isinstance(inner, list) and inner and isinstance(inner[0], Message) else b""


def _text(parts: list[Message]) -> str:
    """The plain text, else what the HTML says."""
    for kind in ("text/plain", "text/html"):
        for part in parts:
            if part.get_content_type() == kind and not _is_attachment(part):
                text = _decoded(part)
                return shortened(text_of(text, _TEXT) if kind == "text/html" else tidy(text), _TEXT)
    return ""


def _decoded(part: Message) -> str:
    octets = _octets(part)[: 20 * _TEXT]
    try:
        return octets.decode(part.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "replace")


def _header(message: Message, name: str, most: int) -> str:
    value = message.get(name)
    return shortened(_plain(str(value)), most) if value is not None else ""


def _name(part: Message) -> str:
    try:
        name = part.get_filename()
    except (ValueError, LookupError, TypeError):
        name = "?"
    return shortened(_plain(name or ""), _NAME)


def _plain(written: str) -> str:
    """A header in words: RFC 2047 decoded, in one line."""
    written = written[:_LONGEST_HEADER]
    try:
        found = "".join(
            part.decode(charset or "utf-8", "replace") if isinstance(part, bytes) else part
            for part, charset in email.header.decode_header(written)
        )
    except (ValueError, LookupError, TypeError, HeaderParseError):
        found = written
    return "".join(one if one.isprintable() else " " for one in " ".join(found.split()))


def _date(written: str) -> str:
    try:
        return format_seconds(email.utils.parsedate_to_datetime(written).timestamp()) if written else ""
    except (ValueError, TypeError, OverflowError, IndexError):
        return ""
