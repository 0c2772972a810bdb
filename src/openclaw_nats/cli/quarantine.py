"""`openclaw-nats quarantine`: webhooks that nothing proves."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import block, json_option, line, print_json, table, tell
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

_source_option = click.option("--source", help="All of this source.", shell_complete=completes("sources"))


@click.group("quarantine", cls=Group, invoke_without_command=True)
@_source_option
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, source: str | None) -> None:
    """List what came to sources that nothing verifies: it wakes nobody until you release it."""
    if context.invoked_subcommand is None:
        _listed(source, as_json=as_json)


@command.command("list")
@_source_option
@json_option
def list_command(as_json: bool, source: str | None) -> None:
    """List what came to sources that nothing verifies."""
    _listed(source, as_json=as_json)


@command.command("show")
@click.argument("number", type=int)
@json_option
def show_command(as_json: bool, number: int) -> None:
    """Show request NUMBER with its body."""
    one = client().call("GET", f"/api/quarantine/{number}")
    if as_json:
        print_json(one)
        return
    line(f"request {one['number']} for {one['source']}, {moment(one['at'])}, from {one['peer'] or '-'}")
    line(f"{one['contentType'] or 'no content type'}, {one['bytes']} bytes:")
    block(one["body"])


@command.command("release")
@click.argument("number", type=int, required=False)
@_source_option
@json_option
def release_command(as_json: bool, number: int | None, source: str | None) -> None:
    """Make events of what waits: request NUMBER, or all of a source. Routes take them as any of its events."""
    done = _act("release", number, source)
    tell(done, f"{plural(done['released'], 'request')} released", as_json=as_json)


@command.command("drop")
@click.argument("number", type=int, required=False)
@_source_option
@json_option
def drop_command(as_json: bool, number: int | None, source: str | None) -> None:
    """Forget what waits: request NUMBER, or all of a source."""
    done = _act("drop", number, source)
    tell(done, f"{plural(done['dropped'], 'request')} dropped", as_json=as_json)


def _act(what: str, number: int | None, source: str | None) -> Any:
    refuse_agents(f"{what} what is in quarantine")
    if (number is None) == (source is None):
        raise click.UsageError("Name a number, or --source" + (", not both." if number is not None else "."))
    body = {"number": number} if number is not None else {"source": source}
    return client().call("POST", f"/api/quarantine/{what}", body)


def _listed(source: str | None, *, as_json: bool) -> None:
    found = client().call("GET", f"/api/quarantine?limit=100{f'&source={quote(source)}' if source else ''}")
    if as_json:
        print_json(found)
        return
    if not found["requests"]:
        line("Nothing waits in quarantine.")
        return
    rows = [
        [str(one["number"]), one["source"], moment(one["at"]), one["peer"] or "-", one["body"].replace("\n", " ")[:60]]
        for one in found["requests"]
    ]
    table(["NUMBER", "SOURCE", "AT", "FROM", "BODY"], rows)
