"""What events hold, for a channel that was made with `content`: short, and harmless wherever it is shown."""

from __future__ import annotations

import msgspec

from openclaw_nats.storage import alert_content as rows
from openclaw_nats.storage.alerts import ConditionRow
from openclaw_nats.storage.database import Connection
from openclaw_nats.terminal_text import plain

_LONGEST = 500


class _Document(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


def content_of(db: Connection, row: ConditionRow) -> list[str]:
    """At most three lines about the newest of what is wrong, each of at most 500 characters; none of other kinds."""
    found: list[str] = []
    if row.kind == "dead-letters":
        found = [
            f"{route}: {subject}: {reason}: {_data(held)}" for route, subject, reason, held in rows.dead_letters(db)
        ]
    elif row.kind == "approvals":
        found = [f"{agent} wants {tool} {arguments}" for agent, tool, arguments in rows.approvals(db)]
    elif row.kind == "expectation":
        found = rows.missed(db, row.key.partition(":")[2])
    return [_short(one) for one in found]


def _short(text: str) -> str:
    shown = plain(text[:_LONGEST])[:_LONGEST]
    return shown if len(text) <= _LONGEST and len(shown) < _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _data(document: bytes) -> str:
    try:
        return bytes(msgspec.json.decode(document, type=_Document).data).decode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
