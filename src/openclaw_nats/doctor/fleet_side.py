"""What NATS does not hold alone: who has the name, and what left it before it was read or done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.expectations.usual import ABOUT
from openclaw_nats.health.recently_missed import recently_missed
from openclaw_nats.terminal_text import plural

_OWN_NAME = "`openclaw-nats config set gateway.id <another name>` on one of the two, then restart it."


def fleet(health: dict[str, Any]) -> Iterator[Finding]:
    """From the sidecar's health report."""
    nats = health["nats"]
    if health["status"] != "up" and nats["lastError"] and nats["version"]:  # else it can't be reached: said elsewhere
        yield problem(
            "nats",
            f"the sidecar can't store events: {nats['lastError']}",
            "First what is found about NATS above; if that is nothing, `openclaw-nats restart`.",
        )
    yield from _missed(health.get("delivery", {}))
    yield from _lost_jobs(health.get("schedules", {}).get("lost"))
    yield from _expectations(health.get("expectations"))
    identity = health.get("identity")
    if identity is None:
        return  # a sidecar of a release before
    if identity["state"] == "held":
        yield ok("gateway.id", f"this sidecar is the only one that works as {identity['gatewayId']}")
    elif identity["state"] == "unguarded":
        yield note("gateway.id", identity["lastError"], "Let NATS make the stream agent_leases (16 MiB).")
    else:
        yield problem("gateway.id", identity["lastError"], _OWN_NAME if identity["holder"] else "See nats above.")


def _missed(delivery: dict[str, Any]) -> Iterator[Finding]:
    for text in delivery.get("notes", []):
        yield note("consumer", text)
    if missed := recently_missed(delivery):
        yield problem(
            "missed",
            f"{plural(missed['last'], 'event')} (on any subject) left the stream before this sidecar read them "
            f"(last: {missed['lastAt']}; {missed['total']} in all)",
            "Keep events for longer than this sidecar is ever away: stream.max_age, stream.max_bytes.",
        )


def _expectations(found: dict[str, Any] | None) -> Iterator[Finding]:
    """Of a sidecar of a release before nothing is known about them."""
    if not found:
        return
    for name in found["missed"][:20]:
        text = f"the expectation {name} is missed"
        fix = f"`openclaw-nats expect show {name}` says what did not come, and since when."
        yield problem("expectations", text, "`openclaw-nats expect` says since when." if name in ABOUT else fix)
    if found["lastError"]:
        yield problem("expectations", f"they are not judged: {found['lastError']}", "See nats above.")
    elif found["rules"] and not found["missed"]:
        unknown = f", {found['unknown']} not known yet" if found["unknown"] else ""
        yield ok("expectations", f"none of {plural(found['rules'], 'rule')} is missed{unknown}")


def _lost_jobs(lost: dict[str, Any] | None) -> Iterator[Finding]:
    if lost:
        names = lost["names"]
        them = "it" if len(names) == 1 else "them"
        shown = ", ".join(names[:20]) + (" …" if len(names) > 20 else "")
        yield problem(
            "schedules",
            f"{plural(len(names), 'cron job')} left NATS, and nobody removed {them} with openclaw-nats "
            f"(noticed {lost['lastAt']}): {shown}",
            "Find out who deleted the stream agent_schedules or its messages: timers in it are gone, too. "
            f"`openclaw-nats audit --search cron.` shows what a job was: add {them} again.",
        )
