"""The messages to channels: a title, and a body as JSON or as text."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET

from openclaw_nats.alerts.deciding import Digest
from openclaw_nats.contract.alerts import AlertBody, AlertBodyData, AlertBodyItem, AlertFormat
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage.alerts import ConditionRow, ToldRow
from openclaw_nats.terminal_text import plural

CONTENT_TYPES: dict[AlertFormat, str] = {"json": "application/json", "text": "text/plain; charset=utf-8"}
_MOST = 50  # of each list: what is more is counted in the title


def link(pages: str, page: str) -> str:
    """The address of a page of the dashboard; `pages` is that of the dashboard itself."""
    return f"{pages}#/{page}"


def render(
    digest: Digest,
    gateway_id: str,
    pages: str,
    form: AlertFormat,
    now: float,
    content: Callable[[ConditionRow], list[str]] | None = None,
) -> tuple[str, str]:
    """(title, body) of what is told; `content` says what an alert's events hold, for a channel that wants it."""
    counts = (
        (len(digest.raised), plural(len(digest.raised), "new alert")),
        (len(digest.again), f"{len(digest.again)} still lasting"),
        (len(digest.recovered), f"{len(digest.recovered)} over"),
    )
    title = f"openclaw-nats {gateway_id}: {', '.join(text for count, text in counts if count)}"
    data = AlertBodyData(
        title,
        gateway_id,
        [_item(one, pages, content) for one in digest.raised[:_MOST]],
        [_item(one, pages, content) for one in digest.again[:_MOST]],
        [_item(one, pages) for one in digest.recovered[:_MOST]],
    )
    return title, _body(AlertBody("openclaw-nats.alert", format_seconds(now), data), form)


def render_test(gateway_id: str, form: AlertFormat, now: float) -> tuple[str, str]:
    """(title, body) of a test message."""
    title = f"openclaw-nats {gateway_id}: this is a test, nothing is wrong"
    data = AlertBodyData(title, gateway_id, [], [], [])
    return title, _body(AlertBody("openclaw-nats.alert_test", format_seconds(now), data), form)


def _item(
    one: ConditionRow | ToldRow, pages: str, content: Callable[[ConditionRow], list[str]] | None = None
) -> AlertBodyItem:
    since = format_seconds(one.since) if isinstance(one, ConditionRow) else None
    held = content(one) if content is not None and isinstance(one, ConditionRow) else []
    return AlertBodyItem(one.key, one.kind, one.text, since, link(pages, one.page), held or UNSET)


def _body(body: AlertBody, form: AlertFormat) -> str:
    if form == "json":
        return msgspec.json.encode(body).decode()
    data, lines = body.data, [body.data.title]
    for mark, items in (("", data.raised), ("Still: ", data.again), ("Over: ", data.recovered)):
        for one in items:
            lines += [f"{mark}{one.text} ({one.link})", *(f"  {held}" for held in one.content or ())]
    return "\n".join(lines) + "\n"
