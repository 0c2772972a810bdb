"""`openclaw-nats pending`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.deliveries import client, filter_options, given, listed, page_options, shown
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, tell


@click.group("pending", cls=Group, invoke_without_command=True)
@filter_options
@page_options
@click.option("--state", type=click.Choice(["pending", "sending", "failed"]), help="Only this state.")
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """List deliveries that wait, are being sent, or failed and will be tried again."""
    if context.invoked_subcommand is None:
        listed("/api/pending", given(**options), as_json=as_json)


@command.command("show")
@click.argument("number", type=int)
@json_option
def show_command(as_json: bool, number: int) -> None:
    """Show delivery NUMBER with its event and its history."""
    shown(f"/api/pending/{number}", as_json=as_json)


@command.command("retry")
@click.argument("number", type=int)
@json_option
def retry_command(as_json: bool, number: int) -> None:
    """Try the failed delivery NUMBER again now."""
    tell(client().call("POST", f"/api/pending/{number}/retry"), f"delivery {number} is tried again", as_json=as_json)


@command.command("drop")
@click.argument("number", type=int)
@json_option
def drop_command(as_json: bool, number: int) -> None:
    """Drop delivery NUMBER (a failed one with its whole dispatch)."""
    answer = client().call("POST", f"/api/pending/{number}/drop")
    tell(answer, f"dropped {answer['dropped']}", as_json=as_json)
