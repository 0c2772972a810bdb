"""`openclaw-nats receipts`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.deliveries import check_route, client, given, page_options, show_history
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import block, json_option, line, print_json, table
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

_SHORT_ID = 18  # of a UUIDv7: its time to the millisecond, and 12 of its random bits


@click.group("receipts", cls=Group, invoke_without_command=True)
@click.option("--route", metavar="NAME", shell_complete=completes("routes"), help="Only this route's.")
@click.option("--since", metavar="WHEN", help="Only the last 2h …, or since an RFC 3339 time.")
@click.option("--until", metavar="WHEN", help="Only before that.")
@page_options
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """List what was delivered: run, outcome, attempts."""
    if context.invoked_subcommand is not None:
        return
    found = client().call("GET", f"/api/receipts?{urlencode(given(**options))}")
    if not found["receipts"]:
        check_route(options["route"])
    if as_json:
        print_json(found)
        return
    rows = [
        [
            _short(one["id"], found["receipts"]),
            one["route"],
            one["outcome"],
            one["way"],
            str(one["events"]),
            str(one["attempts"]),
            moment(one["endedAt"]),
        ]
        for one in found["receipts"]
    ]
    if not rows:
        line("No receipt matches." if given(**options).keys() - {"limit"} else "No receipts yet.")
        return
    table(["RECEIPT", "ROUTE", "OUTCOME", "BY", "EVENTS", "TRIES", "ENDED"], rows)
    if found["cursor"]:
        line(f"More: --cursor {found['cursor']}")


@command.command("show")
@click.argument("receipt")
@json_option
def show_command(as_json: bool, receipt: str) -> None:
    """Show one receipt with its text and what it carried. RECEIPT is an id, or its beginning as the list shows it."""
    from urllib.parse import quote

    one = client().call("GET", f"/api/receipts/{quote(receipt, safe='')}")
    if as_json:
        print_json(one)
        return
    line(f"receipt {one['id']} of route {one['route']}: {one['state']} {one['outcome']} by {one['way']}")
    times = f"{moment(one['createdAt'])} to {moment(one['endedAt'])}"
    line(f"run {one['runId'] or '-'}, {plural(one['attempts'], 'attempt')}, {times}")
    show_history(one["history"])
    for carried in one["deliveries"]:
        line(f"  {carried['delivery']:>6}  {carried['event']}  {carried['subject']}")
    line("text:")
    block(one["text"])
    if one["reply"]:
        line("reply:")
        block(one["reply"])


def _short(number: str, receipts: list[dict[str, Any]]) -> str:
    """The beginning of an id that is no other's in the list."""
    beginning = number[:_SHORT_ID]
    return number if sum(one["id"].startswith(beginning) for one in receipts) > 1 else beginning
