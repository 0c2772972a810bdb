"""What holds deliveries back, in words: the same in `status`, `pause` and `doctor`.

`moment` writes a time of the API for whoever reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from openclaw_nats.contract.health import WARNING_PART
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.terminal_text import plural

Moment = Callable[[str], str]


def pause_text(pause: Mapping[str, Any], moment: Moment = str) -> str:
    """What is paused, by whom, since when, until when and why."""
    route = pause.get("route")
    what = f"the route {route!r} is" if route else "everything is" if pause["everything"] else "all turns are"
    until = f"until {moment(pause['until'])}" if pause.get("until") else "until it is resumed"
    reason = f": {pause['reason']}" if pause["reason"] else ""
    return f"{what} paused by {pause['madeBy']} since {moment(pause['since'])}, {until}{reason}"


def costs(budgets: list[dict[str, Any]], moment: Moment = str) -> list[str]:
    """What to say of budgets in money that are spent, or nearly."""
    said = []
    for one in budgets:
        whose = f" of route {one['route']}" if "route" in one else ""
        text = f"{one['name']}{whose}: {one['used']:.2f} of {one['limit']:.2f} is spent"
        if one["freeAt"]:
            said.append(f"{text}: events wait, until {moment(format_seconds(one['freeAt']))} at least")
        elif one["used"] >= one["limit"] * WARNING_PART:
            said.append(text)
    return said


def spent_budgets(budgets: list[dict[str, Any]], moment: Moment = str) -> list[str]:
    """What to say of budgets that are spent: those of single routes in one line, and when the next turn fits."""
    spent: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for budget in budgets:
        if budget["freeAt"]:
            spent.setdefault((budget["name"], budget["limit"]), []).append(budget)
    said = []
    for (name, limit), ones in spent.items():
        whose = f" by {plural(len(ones), 'route')}" if "routeId" in ones[0] else ""
        until = moment(format_seconds(min(one["freeAt"] for one in ones)))
        kept = f", {ones[0]['reserved']} of it kept for priority 9 and 10" if ones[0].get("reserved") else ""
        said.append(f"{name} ({limit}{kept}) is spent{whose}: events wait, until {until} at least")
    return said
