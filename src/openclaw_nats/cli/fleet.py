"""`openclaw-nats fleet`."""

from __future__ import annotations

import sys
from typing import Any

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, line, print_json, step, table
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

_PARTS = (("nats", "NATS"), ("gateway", "Gateway"), ("plugin", "plugin"))
_KEY_HINT = "they have another identity-key: what they store is outside here (docs/how-to/fleet.md)"


@click.group("fleet", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the sidecars on this NATS, and how each is. Exit code 1: one has a problem, or does not answer."""
    if context.invoked_subcommand is not None:
        return
    found = _fleet()
    if as_json:
        print_json(found)
    else:
        _show(found)
    sys.exit(0 if _all_well(found) else 1)


@command.command("versions")
@json_option
def versions_command(as_json: bool) -> None:
    """List the versions in the fleet, and who is behind. Exit code 1: somebody is."""
    found = _fleet()
    names = (("version", "OPENCLAW-NATS"), ("openclawVersion", "OPENCLAW"), ("natsVersion", "NATS-SERVER"))
    newest = {name: max((_number(one[name]), one[name]) for one in found["members"])[1] for name, _ in names}
    rows = []
    for one in found["members"]:
        behind = [name for name, _ in names if one[name] and one[name] != newest[name]]
        rows.append({"gatewayId": one["gatewayId"], **{name: one[name] for name, _ in names}, "behind": behind})
    if as_json:
        print_json({"members": rows, "newest": newest})
    else:
        marked = [[one["gatewayId"], *(_marked(one, name) for name, _ in names)] for one in rows]
        table(["GATEWAY", *(title for _, title in names)], marked)
        late = sum(bool(one["behind"]) for one in rows)
        line(f"{plural(late, 'sidecar')} behind the newest (marked <)." if late else "All have the newest of these.")
    sys.exit(1 if any(one["behind"] for one in rows) else 0)


def _fleet() -> dict[str, Any]:
    found: dict[str, Any] = client().call("GET", "/api/fleet", timeout=15)
    return found


def _all_well(found: dict[str, Any]) -> bool:
    gone = [one for one in found["silent"] if not one["stopped"]]
    return not (gone or found["lastError"] or found["unreadable"] or any(one["problems"] for one in found["members"]))


def _show(found: dict[str, Any]) -> None:
    rows = [
        [
            one["gatewayId"],
            one["host"],
            _state(one),
            str(one["eventsLastMinute"]),
            _count(one["waiting"]),
            _count(one["dead"]),
        ]
        for one in found["members"]
    ]
    table(["GATEWAY", "HOST", "STATE", "EVENTS/MIN", "WAITING", "DEAD"], rows)
    for one in found["members"]:
        for text in one["problems"]:
            step("✗", one["gatewayId"], text)
    for one in found["silent"]:
        state = "was stopped" if one["stopped"] else "does not answer"
        step(
            "·" if one["stopped"] else "✗",
            one["gatewayId"],
            f"{state}; last seen {moment(one['seen'])} on {one['host']}",
        )
    if foreign := [one["gatewayId"] for one in found["members"] if not one["proven"]]:
        step("!", ", ".join(sorted(foreign)), _KEY_HINT)
    if found["unreadable"]:
        step("!", f"{plural(found['unreadable'], 'answer')} made no sense: not every program that answers is a sidecar")
    if found["lastError"]:
        step("✗", f"others may be missing here: {found['lastError']}")


def _state(one: dict[str, Any]) -> str:
    if not one["delivers"]:
        return "not the holder"
    down = [title for name, title in _PARTS if one[name] == "down"]
    return f"{', '.join(down)} down" if down else "up"


def _count(found: int | None) -> str:
    return "?" if found is None else str(found)


def _marked(one: dict[str, Any], name: str) -> str:
    return f"{one[name]} <" if name in one["behind"] else one[name] or "unknown"


def _number(version: str) -> tuple[int, ...]:
    """To compare by; what is no version comes first."""
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isascii() and part.isdigit())
