"""The data of an event that came as a body with a content type: JSON, text, or octets.

In a CloudEvents document JSON is `data` as it stands, text is `data` as a JSON text, and everything else is
`data_base64` (CloudEvents JSON format 1.0.2, 3.1). Without a content type the body itself says which of them it is.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from openclaw_nats.errors import InvalidEvent
from openclaw_nats.events import json_text

TEXT = "text/plain"
_TEXTUAL = re.compile(
    r"text/.*|application/(xml|yaml|x-yaml|toml|sql|graphql|javascript|x-www-form-urlencoded|x-sh|(x-)?ndjson|jsonl|json-seq)|.*\+(xml|yaml)"
)
_CHARSET = re.compile(r""";\s*charset\s*=\s*("?)([^";\s]+)\1""", re.IGNORECASE)
_KNOWN_CHARSETS = re.compile(
    r"utf-?8|utf-?16(le|be)?|us-ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|windows-125\d|koi8-[ru]|shift_jis|gbk|gb18030"
    r"|big5|euc-(jp|kr)",
    re.IGNORECASE,
)


def media_type(content_type: str) -> str:
    """The media type in lower case, without parameters: `Application/JSON; charset=utf-8` → `application/json`."""
    return content_type.partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Whether a media type (of `media_type`) is JSON: CloudEvents 1.0.2, 3.1.1."""
    return kind.endswith(("/json", "+json"))


def without_mark(body: bytes) -> bytes:
    """A body without the byte order mark that some programs begin UTF-8 with."""
    return body.removeprefix(b"\xef\xbb\xbf")


def data_of(body: bytes, content_type: str) -> dict[str, Any]:
    """A body as attributes `data` or `data_base64` and, where it is not plain JSON, `datacontenttype`.

    Raise InvalidEvent for a body that is no JSON though its content type says so.
    """
    kind = media_type(content_type)
    if not kind:
        return _guessed(body)
    if is_json(kind):
        named = {} if content_type.strip().lower() == "application/json" else {"datacontenttype": content_type.strip()}
        return {**named, **({"data": _declared_json(body, content_type)} if body else {})}
    if _TEXTUAL.fullmatch(kind) and (text := _text(body, content_type)) is not None:
        return {"datacontenttype": content_type.strip(), "data": text}
    return {"datacontenttype": content_type.strip(), "data_base64": base64.b64encode(body).decode()}


def shown(body: bytes) -> dict[str, Any]:
    """A body that can't be an event, as data all the same: JSON, text or octets. Never fails."""
    try:
        return _guessed(body)
    except InvalidEvent:
        return {"datacontenttype": TEXT, "data": body.decode("utf-8", "replace")}


def _guessed(body: bytes) -> dict[str, Any]:
    text = _text(body, "")
    if text is None:
        return {"data_base64": base64.b64encode(body).decode()}
    try:
        raw = msgspec.json.decode(without_mark(body), type=msgspec.Raw)
    except RecursionError:
        json_text.check(body)  # which says how deep it may be
        raise InvalidEvent("the event is nested too deeply") from None
    except msgspec.MsgspecError:
        return {"datacontenttype": TEXT, "data": text}
    json_text.check(body)
    return {"data": raw}


def _declared_json(body: bytes, content_type: str) -> msgspec.Raw:
    if (match := _CHARSET.search(content_type)) and match[2].lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        text = _text(body, content_type)
        body = body if text is None else text.encode("utf-8", "replace")
    body = without_mark(body)
    try:
        body.decode()
        json_text.check(body)
        return msgspec.json.decode(json_text.well_formed(body), type=msgspec.Raw)
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the event's data is not valid UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise InvalidEvent("the event's data is nested too deeply") from None
    except msgspec.MsgspecError as error:
        raise InvalidEvent(
            f"the event's data is not valid JSON, as its content type says: {str(error)[:200]}",
            hint="Say what it is by its content type, text/plain for example.",
        ) from None


def _text(body: bytes, content_type: str) -> str | None:
    """The body as text in its charset (UTF-8 without one); None when it is not."""
    match = _CHARSET.search(content_type)
    charset = match[2] if match else "utf-8"
    if not _KNOWN_CHARSETS.fullmatch(charset):
        return None
    try:
        text = body.decode(charset)
        text.encode()  # some codecs make half characters
    except (UnicodeError, LookupError):
        return None
    return text
