"""What of the older plugin becomes what here: one line each, with what can't be taken over and why."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.subjects import PREFIX, check_subject
from openclaw_nats.inbound.route_check import check_route
from openclaw_nats.inbound.target import parse_target
from openclaw_nats.schedules.cron import Cron
from openclaw_nats.schedules.document import parse_job
from openclaw_nats.storage.older_database import OlderState

# The text that its agents are used to; without `_delivery`, which repeated what stands in it.
TEMPLATE = "[NATS:{{ subject }}] {{ data | tojson }}"
_ROUTE_NAME = re.compile(r"[\x00-\x1f\x7f/]")


@dataclass
class Item:
    """One thing. `action`: add, replace, same, skip; `why` says what is different here, or why it is skipped."""

    kind: str
    name: str
    action: str
    document: dict[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass
class Plan:
    """All items, in the order in which they are imported."""

    items: list[Item]

    def of(self, *actions: str) -> list[Item]:
        """The items with these actions."""
        return [item for item in self.items if item.action in actions]


def make_plan(state: OlderState, routes: list[dict[str, Any]], jobs: list[dict[str, Any]], timers: list[Any]) -> Plan:
    """Compare with what is here already (`routes`, `jobs` and `timers` as our API lists them)."""
    items = [_route(row, {one["name"]: one for one in routes}) for row in state.routes]
    items += [_job(row, {one["name"]: one for one in jobs}) for row in state.jobs]
    items += [_timer(row, {one["name"]: one for one in timers}) for row in state.timers]
    items += [_pending(row) for row in state.pending]
    return Plan(items)


def _route(row: dict[str, Any], known: dict[str, Any]) -> Item:
    name = _ROUTE_NAME.sub("-", str(row.get("name") or row["pattern"]))[:128].strip()
    target, notes = str(row.get("target") or "main"), []
    try:
        parse_target(target)
    except OpenClawNatsError as error:
        notes.append(f"its target {target!r} is none here ({error}); main is used")
        target = "main"
    document = {
        "name": name,
        "pattern": row["pattern"],
        "target": target,
        "template": TEMPLATE,
        "enabled": bool(row.get("enabled", True)),
    }
    if row.get("priority") not in (None, 5):
        document["priority"] = min(10, max(1, int(row["priority"])))
    if isinstance(row.get("filter"), dict):
        document["filter"] = row["filter"]
    if isinstance(row.get("custom_payload"), dict) and row["custom_payload"]:
        document["payload"] = row["custom_payload"]
    if problems := check_route(document, Agents()):
        return Item("route", name, "skip", document, problems[0].message)
    return _against("route", name, document, known, ("pattern", "target", "filter", "payload", "enabled"), notes)


def _job(row: dict[str, Any], known: dict[str, Any]) -> Item:
    name, zone = str(row["name"]), str(row.get("timezone") or "UTC")
    document = {
        "name": name,
        "cron": row["expr"],
        "timezone": zone,
        "subject": row["subject"],
        "payload": row.get("payload"),
        "enabled": bool(row.get("enabled", True)),
    }
    notes = [] if zone == "UTC" else [f"it now runs in {zone}, which was not looked at before"]
    try:
        parse_job(document)
        Cron(document["cron"], zone)
        check_subject(document["subject"])
    except OpenClawNatsError as error:
        return Item("cron job", name, "skip", document, str(error))
    return _against("cron job", name, document, known, ("cron", "timezone", "subject", "payload", "enabled"), notes)


def _timer(row: dict[str, Any], known: dict[str, Any]) -> Item:
    name, at = str(row["name"]), float(row["fire_at"]) / 1000
    notes = ["it is overdue and fires at once"] if at < time.time() else []
    document = {
        "name": name,
        "at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "subject": row["subject"],
        "payload": row.get("payload"),
    }
    try:
        check_subject(document["subject"])
    except OpenClawNatsError as error:
        return Item("timer", name, "skip", document, str(error))
    return _against("timer", name, document, known, ("at", "subject", "payload"), notes)


def _pending(row: dict[str, Any]) -> Item:
    name = str(row["id"])
    document = {
        "subject": row["subject"],
        "payload": row.get("payload"),
        "id": f"older:{name}"[:256],
        "sessionKey": row.get("session_key") or "",
        "priority": min(10, max(1, int(row.get("priority") or 5))),
    }
    try:
        if not check_subject(document["subject"]).startswith(PREFIX):
            return Item("pending event", name, "skip", document, f"{document['subject']} is not below {PREFIX}>")
    except OpenClawNatsError as error:
        return Item("pending event", name, "skip", document, str(error))
    return Item("pending event", name, "add", document, "it goes to the routes that take it")


def _against(
    kind: str, name: str, document: dict[str, Any], known: dict[str, Any], fields: tuple[str, ...], notes: list[str]
) -> Item:
    why = "; ".join(notes)
    if name not in known:
        return Item(kind, name, "add", document, why)
    different = [one for one in fields if known[name].get(one) != document.get(one)]
    if not different:
        return Item(kind, name, "same", document, why)
    changes = "; ".join(f"{one}: {known[name].get(one)!r} → {document.get(one)!r}" for one in different)
    return Item(kind, name, "replace", document, "; ".join([changes, *notes]))
