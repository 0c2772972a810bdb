"""Two test events: one goes out through the plugin, one comes in by a route to a target that wakes nobody."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.subjects import PROBE
from openclaw_nats.health.delivery_text import costs, pause_text, spent_budgets
from openclaw_nats.terminal_text import plural

Call = Callable[[str, str, Any], Any]
Read = Callable[[str], list[dict[str, Any]]]

SECONDS = 10.0
SETTLE_SECONDS = 6.0


def out(call: Call, read: Read) -> Iterator[Finding]:
    """Gateway → plugin → spool → sidecar → stream."""
    began = time.monotonic()
    number = ""
    while not number:
        try:
            number = call("POST", "/api/plugin/probe", None)["probe"]
        except OpenClawNatsError as error:
            if time.monotonic() - began < SETTLE_SECONDS:  # it reports, so that its channel is about to come
                time.sleep(0.5)
                continue
            yield problem("event out", f"no test event could be asked for: {error}", error.hint or "Start the Gateway.")
            return
    while time.monotonic() - began < SECONDS:
        if any(one.get("data", {}).get("probe") == number for one in read(PROBE)):
            took = time.monotonic() - began
            yield ok("event out", f"a test event went from the Gateway into the stream in {took:.1f} s")
            return
        time.sleep(0.2)
    yield problem(
        "event out",
        f"the plugin was asked for a test event, but it is not in the stream after {SECONDS:.0f} s",
        "Is `agent.events.plugin.>` blocked by filter.block? `openclaw-nats logs` and the Gateway's log say more.",
    )


def into(call: Call) -> Iterator[Finding]:
    """Sidecar → stream → consumer → inbox → flow control → delivery, to a subject instead of an agent."""
    name = f"doctor-{secrets.token_hex(4)}"
    subject = f"agent.events.bus.doctor.{name}"
    route = {
        "name": name,
        "pattern": subject,
        "target": {"kind": "subject", "subject": f"openclaw-nats.doctor.{name}"},
        "until": (datetime.now(UTC) + timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    began = time.monotonic()
    try:
        call("POST", "/api/routes", route)
        try:
            event = call("POST", "/api/publish", {"subject": subject, "payload": {"doctor": name}})["id"]
            state = _outcome(call, event, began)
        finally:
            call("DELETE", f"/api/routes/{name}", None)
    except OpenClawNatsError as error:
        yield problem(
            "event in", f"a test event could not be sent in: {error}", error.hint or "See the other findings."
        )
        return
    if state == "delivered":
        took = time.monotonic() - began
        yield ok("event in", f"a test event went through a route to its target in {took:.1f} s (no agent was woken)")
    else:
        yield problem(
            "event in",
            f"a test event is {state or 'nowhere'} after {SECONDS:.0f} s",
            "`openclaw-nats pending` and `openclaw-nats dead` say why; `openclaw-nats logs` says more.",
        )


def _outcome(call: Call, event: str, began: float) -> str:
    state = ""
    while time.monotonic() - began < SECONDS:
        found = call("GET", f"/api/deliveries?event={event}", None)["deliveries"]
        state = found[0]["state"] if found else ""
        if state in ("delivered", "dead", "dropped", "expired"):
            break
        time.sleep(0.1)
    return state


def way_to_agents(delivery: dict[str, Any]) -> Iterator[Finding]:
    """What the health report says about deliveries."""
    room = "`openclaw-nats pending` shows what waits; `openclaw-nats config set inbox.max_bytes …` gives it more room."
    if near := delivery.get("inbox", {}).get("note"):
        yield note("inbox", near, room)
    if full := delivery.get("inbox", {}).get("lastError"):
        yield problem("inbox", full, room)
    elif error := delivery.get("lastError"):
        yield problem(
            "delivery", f"agents can't be woken: {error}", "Start the Gateway; `openclaw-nats setup` fixes the rest."
        )
    elif way := delivery.get("way"):
        yield ok("delivery", f"agents are woken by {'the plugin' if way == 'plugin' else 'the hooks of the Gateway'}")
    else:
        yield note(
            "delivery",
            "no way to the agents yet: the plugin was here before and is not connected now; events wait for it",
            "A Gateway that was just started needs a moment; if this stays: `openclaw gateway restart`.",
        )
    for one in delivery.get("pauses", []):
        route = one.get("route")
        fix = "`openclaw-nats resume" + (f" --route {shlex.quote(route)}" if route else "") + "` ends it."
        yield note("paused", pause_text(one), fix)
    for text in [*spent_budgets(delivery.get("budgets", [])), *costs(delivery.get("costBudgets", []))]:
        yield note("budget", text, "`openclaw-nats pending` lists what waits, `openclaw-nats config` changes a budget.")
    for one in delivery.get("openBreakers", []):
        fix = "Is it up, and its address right? Events wait (`openclaw-nats pending`) and are tried again."
        yield problem("delivery", f"deliveries to {one['target']} are paused: {one['lastError']}", fix)
    for one in delivery.get("unanswerable", []):
        yield problem(
            "targets",
            f"nothing answers the target of route {one['route']!r}: {one['problem']}",
            f"Run `openclaw-nats routes edit {shlex.quote(one['route'])} --target …`, or give the Gateway that agent.",
        )
    for one in delivery.get("instructionNotes", []):
        yield note(
            "instructions",
            f"route {one['route']!r}: {one['problem']}",
            f"Run `openclaw-nats routes edit {shlex.quote(one['route'])} --instruction '…'`.",
        )
    counts = delivery.get("counts", {})
    if dead := counts.get("dead"):
        text = f"{plural(dead, 'dead letter')}: deliveries that were given up"
        fix = "`openclaw-nats dead` says why; `dead redrive --all` sends them again, `dead drop --all` ends it."
        yield problem("delivery", text, fix)


def unguarded(routes: list[dict[str, Any]]) -> Iterator[Finding]:
    """Routes from before there was a guard, and those that the operator has taken it from."""
    names = [str(one["name"]) for one in routes if one["guard"] == "off" and one["enabled"] and _wakes(one)]
    if names:
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        yield note(
            "guard",
            f"outside events may lead to any tool call on {plural(len(names), 'route')}: {shown}",
            f"`openclaw-nats routes edit {shlex.quote(names[0])} --guard ask` guards one (docs/guard.md).",
        )


def _wakes(route: dict[str, Any]) -> bool:
    return route["resolvedTarget"]["kind"] in ("session", "agent", "wake")
