"""`openclaw-nats dead`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.deliveries import client, filter_options, given, listed, page_options, shown
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, tell


@click.group("dead", cls=Group, invoke_without_command=True)
@filter_options
@page_options
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """List dead letters: deliveries that were given up."""
    if context.invoked_subcommand is None:
        listed("/api/dead", given(**options), as_json=as_json)


@command.command("show")
@click.argument("number", type=int)
@json_option
def show_command(as_json: bool, number: int) -> None:
    """Show dead letter NUMBER with its event and its history."""
    shown(f"/api/dead/{number}", as_json=as_json)


@command.command("redrive")
@click.argument("number", type=int, required=False)
@filter_options
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
def redrive_command(as_json: bool, number: int | None, everything: bool, **options: Any) -> None:
    """Make dead letters wait again: NUMBER, or all that the options select."""
    answer = _act("redrive", number, given(**options), everything=everything)
    tell(answer, f"{answer['redriven']} wait again", as_json=as_json)


@command.command("drop")
@click.argument("number", type=int, required=False)
@filter_options
@click.option("--all", "everything", is_flag=True, help="All of them.")
@json_option
def drop_command(as_json: bool, number: int | None, everything: bool, **options: Any) -> None:
    """Drop dead letters: NUMBER, or all that the options select."""
    answer = _act("drop", number, given(**options), everything=everything)
    tell(answer, f"dropped {answer['dropped']}", as_json=as_json)


def _act(action: str, number: int | None, options: dict[str, str], *, everything: bool) -> Any:
    if number is not None:
        return client().call("POST", f"/api/dead/{number}/{action}")
    if not options and not everything:
        raise click.UsageError("Name a number, --route, --since …, or --all.")
    return client().call("POST", f"/api/dead/{action}", options)
