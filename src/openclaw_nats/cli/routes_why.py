"""`openclaw-nats routes why`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import short_subject
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import Styled, json_option, line, print_json, step
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

_SHOWN = 5


@click.command("why")
@click.argument("name", shell_complete=completes("routes"))
@click.option("--event", "sequence", type=click.IntRange(1), metavar="SEQUENCE", help="One event, by its number.")
@click.option("--since", metavar="DURATION", help="What was stored in the last 2h, 1d … (default 1h).")
@json_option
def why_command(as_json: bool, name: str, sequence: int | None, since: str | None) -> None:
    """Why the route NAME did not fire: what each gate says to an event, or to those of the last hour."""
    from urllib.parse import quote

    if sequence is not None and since is not None:
        raise click.UsageError("--event and --since exclude each other.")
    asked = f"event={sequence}" if sequence is not None else f"since={quote(since or '1h')}"
    found = client().call("GET", f"/api/routes/{quote(name, safe='')}/why?{asked}")
    if as_json:
        print_json(found)
        return
    fired = found["events"] > 0 and found["delivered"] == found["events"]
    step("✓" if fired else "✗", name, found["verdict"])
    if sequence is not None:
        _gates(found["shown"][0])
        return
    for one in found["stopped"]:
        where = f"such as event {one['newest']}"
        step("✗", f"{one['gate']}, {plural(one['events'], 'event')}", f"{one['reason']} ({where})")
    if found["shown"]:
        line()
    for one in found["shown"][:_SHOWN]:
        subject = short_subject(one["subject"])
        line(
            f"{one['sequence']:>6}  {moment(one['storedAt'])}  {subject}  {one.get('stoppedBy', '')}: {one['verdict']}"
        )
    if not found["complete"]:
        line("(Older events of that time were not looked at.)")


def _gates(one: dict[str, Any]) -> None:
    line()
    where = f"on {one['subject']}, from {one['origin']}"
    line(Styled(f"event {one['sequence']}, {moment(one['storedAt'])}, {where}", bold=True))
    for gate in one["gates"]:
        until = f", until {moment(gate['until'])}" if "until" in gate else ""
        step("✓" if gate["passed"] else "✗", gate["gate"], f"{gate['answer']}{until}")
