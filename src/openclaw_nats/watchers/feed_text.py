"""What an RSS or Atom feed holds. Runs in a process of its own (read_worker.py)."""

from __future__ import annotations

import calendar
import io
import re
import time
from typing import Any

import feedparser

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.watchers.text import digest, shortened, text_of

MOST_ENTRIES = 1000
_SUMMARY, _TITLE, _LINK, _NAME = 4000, 500, 2000, 200
_MOST_TAGS = 20
_END = re.compile(rb"</(?:\w{1,20}:)?(?:item|entry)\s{0,10}>", re.IGNORECASE)


def read(body: bytes, content_type: str = "") -> dict[str, Any]:
    """Its title, and its entries: each by what it is known by, and its data; the first of those that have one id.
    Of more than MOST_ENTRIES those in the middle are left out.

    Raises ValueError for what is no feed.
    """
    headers = {"content-type": content_type} if content_type else {}
    body, count = _cut(body)
    stream = io.BytesIO(body)  # as a text it would be taken for the name of a file
    found = feedparser.parse(stream, response_headers=headers, sanitize_html=False, resolve_relative_uris=False)
    if not found.get("version") and not found.entries:
        raise ValueError("it is no RSS or Atom feed")
    entries: dict[str, dict[str, Any]] = {}
    for entry in found.entries[:MOST_ENTRIES]:
        data = _data(entry)
        entries.setdefault(_key(entry, data), data)
    feed = found.get("feed", {})
    return {
        "left_out": max(0, count - MOST_ENTRIES),
        "title": shortened(text_of(_text(feed, "title"), _TITLE), _TITLE),
        "entries": [[key, data] for key, data in entries.items()],
    }


def _cut(body: bytes) -> tuple[bytes, int]:
    """A feed with MOST_ENTRIES, the first half and the last, wherever the new ones are; and how many it had."""
    ends = [one.end() for one in _END.finditer(body)]
    if len(ends) <= MOST_ENTRIES:
        return body, len(ends)
    half = MOST_ENTRIES // 2
    return body[: ends[half - 1]] + body[ends[-half - 1] :], len(ends)


def _key(entry: Any, data: dict[str, Any]) -> str:
    """By what an entry is known: its id, else its link, else what it says."""
    for name in ("id", "link"):
        if value := _text(entry, name):
            return digest(name, value)
    return digest("text", data["title"], data.get("summary", ""))


def _data(entry: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"title": shortened(text_of(_text(entry, "title"), _TITLE), _TITLE)}
    for name, most in (("id", _LINK), ("link", _LINK), ("author", _NAME)):
        if value := shortened(_text(entry, name), most):
            data[name] = value
    for name in ("published", "updated"):
        if moment := _moment(dict.get(entry, f"{name}_parsed")):
            data[name] = moment
    content = entry.get("content") or []
    summary = _text(entry, "summary") or (_text(content[0], "value") if content else "")
    if text := shortened(text_of(summary, _SUMMARY), _SUMMARY):
        data["summary"] = text
    tags = [shortened(_text(one, "term"), _NAME) for one in (entry.get("tags") or [])[:_MOST_TAGS]]
    if named := [one for one in tags if one]:
        data["tags"] = named
    return data


def _text(of: Any, name: str) -> str:
    value = of.get(name)
    return value if isinstance(value, str) else ""


def _moment(parsed: time.struct_time | None) -> str:
    try:
        return format_seconds(calendar.timegm(parsed)) if parsed else ""
    except (ValueError, OverflowError, TypeError):
        return ""
