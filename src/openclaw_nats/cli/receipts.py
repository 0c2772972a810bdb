"""`openclaw-nats receipts`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.deliveries import client, given, page_options
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, print_json, table


@click.group("receipts", cls=Group, invoke_without_command=True)
@click.option("--route", metavar="NAME", help="Only this route's.")
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
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one["id"],
            one["route"],
            one["outcome"],
            one["way"],
            str(one["events"]),
            str(one["attempts"]),
            one["endedAt"][:19],
        ]
        for one in found["receipts"]
    ]
    if not rows:
        click.echo("Nothing here.")
        return
    table(["RECEIPT", "ROUTE", "OUTCOME", "BY", "EVENTS", "ATTEMPTS", "ENDED"], rows)
    if found["cursor"]:
        click.echo(f"More: --cursor {found['cursor']}")


@command.command("show")
@click.argument("receipt")
@json_option
def show_command(as_json: bool, receipt: str) -> None:
    """Show one receipt with its text and what it carried."""
    from urllib.parse import quote

    one = client().call("GET", f"/api/receipts/{quote(receipt, safe='')}")
    if as_json:
        print_json(one)
        return
    click.echo(f"receipt {one['id']} of route {one['route']}: {one['state']} {one['outcome']} by {one['way']}")
    click.echo(f"run {one['runId'] or '-'}, {one['attempts']} attempts, {one['createdAt']} to {one['endedAt']}")
    for change in one["history"]:
        click.echo(f"  {change['at']}  {change['state']:9} {change['reason']}")
    for carried in one["deliveries"]:
        click.echo(f"  {carried['delivery']:>6}  {carried['event']}  {carried['subject']}")
    click.echo(f"text:\n{one['text']}")
    if one["reply"]:
        click.echo(f"reply:\n{one['reply']}")
