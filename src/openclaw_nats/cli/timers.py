"""`openclaw-nats timers`: one event at one time."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli import flags
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import short_subject
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, line, print_json, table, tell
from openclaw_nats.cli.schedule_output import (
    every_gateway,
    from_option,
    json_of,
    others_of,
    path_of,
    shown_wake,
    take,
    wake_options,
    wish_of,
)
from openclaw_nats.cli.times import moment
from openclaw_nats.cli.unreadable import tell_unreadable


@click.group("timers", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List, set and cancel timers. They fire while the sidecar is down, too."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command("list")
@every_gateway
@json_option
def list_command(as_json: bool, every: bool) -> None:
    """List all timers that have not fired."""
    _list(as_json=as_json, every=every)


@command.command("set")
@click.argument("name")
@click.argument("when")
@click.option("--subject", help="Subject to publish on [default: agent.events.timer.NAME].")
@click.option("--payload", metavar="JSON", help="The event's data (@FILE reads a file).")
@click.option("--priority", type=click.IntRange(1, 10), help="1 low … 10 high.")
@wake_options
@json_option
def set_command(as_json: bool, name: str, when: str, **given: Any) -> None:
    """Set the timer NAME; it replaces one of that name.

    WHEN is a time from now (30s, 5m, 2h, 7d) or an RFC 3339 time with a zone (2027-01-31T08:00:00+01:00).
    """
    wish = {key: value for key, value in wish_of(given).items() if value is not None}
    body = {"name": name, **wish, **{key: value for key, value in given.items() if value is not None}}
    if "payload" in body:
        body["payload"] = json_of(body["payload"], "--payload")
    body |= {("at" if "T" in when.upper() else "delay"): when}
    timer = client().call("POST", "/api/timers", body, flags=flags.TIMER)
    does = f"wakes {shown_wake(timer['wake'])}" if timer["wake"] else f"publishes {timer['subject']}"
    tell(timer, f"timer {name} {does} at {moment(timer['at'])}", as_json=as_json)


@command.command("cancel")
@click.argument("name", shell_complete=completes("timers"))
@json_option
def cancel_command(as_json: bool, name: str) -> None:
    """Cancel the timer NAME."""
    client().call("DELETE", path_of("timers", name))
    from openclaw_nats.contract.command_line import Cancelled

    tell(Cancelled(name), f"cancelled timer {name}", as_json=as_json)


@command.command("take")
@click.argument("name")
@from_option
@json_option
def take_command(as_json: bool, name: str, gateway: str) -> None:
    """Make the timer NAME of a Gateway that is gone one of this Gateway."""
    timer = take("timer", name, gateway)
    tell(timer, f"took timer {name} over from {gateway}; it fires at {moment(timer['at'])}", as_json=as_json)


def _list(*, as_json: bool, every: bool = False) -> None:
    found = client().call("GET", "/api/timers")
    others = others_of("timers") if every else []
    if every:
        found["others"] = others
    if as_json:
        print_json(found)
        return
    tell_unreadable(found, "timer", "timers cancel")
    timers = found["timers"]
    if not timers:
        line("No timers. `openclaw-nats timers set NAME 5m` sets one.")
    else:
        rows = [[*_row(one), shown_wake(one["wake"]) or "-", one["instruction"] or "-"] for one in timers]
        headers = ["NAME", "AT", "MADE BY", "SUBJECT", "WAKES", "INSTRUCTION"]
        table(headers, rows, below=["MADE BY", "WAKES", "INSTRUCTION"])
    if others:
        line()
        line("Of other Gateways on this NATS:")
        rows = [[one["gateway"], *_row(one)] for one in others]
        table(["GATEWAY", "NAME", "AT", "MADE BY", "SUBJECT"], rows, below=["SUBJECT", "MADE BY"])


def _row(one: dict[str, Any]) -> list[str]:
    return [one["name"], moment(one["at"]), one["madeBy"] or "operator", short_subject(one["subject"])]
