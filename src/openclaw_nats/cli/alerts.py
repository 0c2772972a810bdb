"""`openclaw-nats alerts`: channels that report to people what is wrong."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.alerts.services import is_service
from openclaw_nats.cli import flags
from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, line, print_json, step, table, tell
from openclaw_nats.cli.secret_file import kept
from openclaw_nats.cli.sources import read_secret
from openclaw_nats.cli.times import moment
from openclaw_nats.errors import InvalidInput

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_ENVIRONMENT = "env:"


@click.group("alerts", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool) -> None:
    """List alert channels, and what is wrong now."""
    if context.invoked_subcommand is None:
        _listed(as_json=as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List alert channels, and what is wrong now."""
    _listed(as_json=as_json)


@command.command("show")
@click.argument("name", shell_complete=completes("alerts"))
@json_option
def show_command(as_json: bool, name: str) -> None:
    """Show the alert channel NAME."""
    one = client().call("GET", _path(name))
    if as_json:
        print_json(one)
        return
    line(f"{one['name']}: {one['to']}, {'signed' if one['signed'] else 'not signed'}, {one['format']}")
    line(f"alerts of {one['window']} go in one message; what goes on is reported again after {one['again']}")
    if quiet := one.get("quietHours"):
        line(f"quiet from {quiet['from']} to {quiet['to']} ({quiet.get('timezone') or 'UTC'})")
    if without := one.get("without"):
        line(f"leaves out: {', '.join(without)}")
    if one.get("content"):
        line("with what events hold")
    line(_state(one))


@command.command("add")
@click.argument("name")
@click.option(
    "--to",
    metavar="URL",
    help="The address of a webhook, or of a service (ntfy://, slack://, mailto:// …); env:NAME: in a variable.",
)
@click.option("--to-file", type=_FILE, help="The address is in this file (- is standard input).")
@click.option("--secret-file", type=_FILE, help="The secret that signs is in this file; else one is made.")
@click.option(
    "--secret-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the secret that is made here (0600), do not print it.",
)
@click.option("--unsigned", is_flag=True, help="Do not sign: for receivers that check nothing.")
@click.option("--format", "form", type=click.Choice(("json", "text")), default="json", help="text suits ntfy.")
@click.option("--window", metavar="DURATION", help="Alerts of this time go in one message (30s).")
@click.option("--again", metavar="DURATION", help="Report what goes on again after this (4h).")
@click.option("--quiet", metavar="FROM-TO[@ZONE]", help="Send nothing then: 22:00-07:00@Europe/Amsterdam.")
@click.option("--without", multiple=True, metavar="KIND", help="Leave this kind out. May be given more than once.")
@click.option("--content", is_flag=True, help="Send what events hold, too: whoever gets the messages reads it.")
@json_option
def add_command(
    as_json: bool,
    name: str,
    to: str | None,
    to_file: Path | None,
    secret_file: Path | None,
    secret_to: Path | None,
    unsigned: bool,
    form: str,
    window: str | None,
    again: str | None,
    quiet: str | None,
    without: tuple[str, ...],
    content: bool,
) -> None:
    """Make the alert channel NAME: from then on it gets what is wrong."""
    refuse_agents("make an alert channel")
    if unsigned and (secret_file is not None or secret_to is not None):
        raise click.UsageError("--unsigned is without a secret.")
    if secret_file is not None and secret_to is not None:
        raise click.UsageError("--secret-to is for a secret that is made here.")
    address = _address(to, to_file)
    if is_service(address):  # which has a form of its own, and its secret in its address
        if secret_file is not None or secret_to is not None:
            raise click.UsageError("A service's address has its secret already: no --secret-file and no --secret-to.")
        unsigned, form = True, "text"
    made = "" if unsigned or secret_file is not None else _new_secret()
    body: dict[str, Any] = {"name": name, "to": address, "format": form, "without": list(without), "content": content}
    if not unsigned:
        body["secret"] = read_secret(secret_file) if secret_file is not None else made
    body |= {key: value for key, value in (("window", window), ("again", again)) if value}
    if quiet:
        body["quietHours"] = _quiet(quiet)
    with kept(made, secret_to):
        one = client().call("POST", "/api/alerts", body, flags=flags.ALERT)
    if as_json:
        print_json({"channel": one, "secret": made if secret_to is None else ""})
        return
    step("✓", f"alert channel {name}: {one['to']}")
    if made and secret_to is None:
        line(f"Secret:   {made}   (shown once)")
    elif made:
        line(f"Secret:   in {secret_to}")
    line(f"`openclaw-nats alerts test {name}` sends a test message.")


@command.command("test")
@click.argument("name", shell_complete=completes("alerts"))
@json_option
def test_command(as_json: bool, name: str) -> None:
    """Send a test message to the alert channel NAME now; exit 1 when its receiver does not take it."""
    refuse_agents("test an alert channel")
    done = client().call("POST", f"{_path(name)}/test", {}, timeout=30)
    if as_json:
        print_json(done)
    elif done["sent"]:
        step("✓", f"the receiver of {name} has taken a test message")
    else:
        step("✗", f"the receiver of {name} has not taken it", done["error"])
    if not done["sent"]:
        sys.exit(1)


@command.command("history")
@click.argument("name", shell_complete=completes("alerts"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def history_command(as_json: bool, name: str, limit: int) -> None:
    """Show the messages to the alert channel NAME, the newest first."""
    found = client().call("GET", f"{_path(name)}/history?limit={limit}")
    if as_json:
        print_json(found)
        return
    rows = [
        [moment(one["made"]), one["state"], str(one["attempts"]), one["title"], one.get("error", "")]
        for one in found["messages"]
    ]
    if rows:
        table(["MADE", "STATE", "TRIES", "MESSAGE", "WHY"], rows)
    else:
        line("No messages.")


@command.command("pause")
@click.argument("name", shell_complete=completes("alerts"))
@json_option
def pause_command(as_json: bool, name: str) -> None:
    """Send nothing to the alert channel NAME until it is resumed."""
    tell(_changed(name, paused=True), f"alert channel {name} is paused", as_json=as_json)


@command.command("resume")
@click.argument("name", shell_complete=completes("alerts"))
@json_option
def resume_command(as_json: bool, name: str) -> None:
    """End the pause of the alert channel NAME; it reports what is wrong then."""
    tell(_changed(name, paused=False), f"alert channel {name} reports again", as_json=as_json)


@command.command("remove")
@click.argument("name", shell_complete=completes("alerts"))
@json_option
def remove_command(as_json: bool, name: str) -> None:
    """Remove the alert channel NAME, with its address and what waits for it."""
    from openclaw_nats.contract.command_line import Removed

    refuse_agents("remove an alert channel")
    client().call("DELETE", _path(name))
    tell(Removed(name), f"removed alert channel {name}", as_json=as_json)


def _listed(*, as_json: bool) -> None:
    found = client().call("GET", "/api/alerts")
    if as_json:
        print_json(found)
        return
    if not found["channels"]:
        line("No alert channels. `openclaw-nats alerts add NAME --to URL` makes one.")
        return
    rows = [[one["name"], one["to"], one["again"], _state(one)] for one in found["channels"]]
    table(["NAME", "TO", "AGAIN", "STATE"], rows)
    line()
    for one in found["conditions"]:
        step("!", f"{one['text']} (since {moment(one['since'])})")
    if not found["conditions"]:
        step("✓", "nothing is wrong")


def _state(one: dict[str, Any]) -> str:
    if one["paused"]:
        return "paused"
    if one["lastError"]:
        return f"fails, {one['waiting']} waiting: {one['lastError']}"
    return f"{one['waiting']} waiting" if one["waiting"] else "ok"


def _changed(name: str, *, paused: bool) -> Any:
    refuse_agents("change an alert channel")
    return client().call("PATCH", _path(name), {"paused": paused}, flags=flags.ALERT)


def _path(name: str) -> str:
    return f"/api/alerts/{quote(name, safe='')}"


def _address(to: str | None, path: Path | None) -> str:
    if (to is None) == (path is None):
        raise click.UsageError("Say where alerts go: --to or --to-file.")
    if path is not None:
        return read_secret(path)
    if to is not None and to.startswith(_ENVIRONMENT):
        name = to.removeprefix(_ENVIRONMENT)
        if not (found := os.environ.get(name, "")):
            raise InvalidInput(f"the variable {name[:40]} is not set", hint="Export it, or use --to-file.")
        return found
    return to or ""


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _quiet(text: str) -> dict[str, str]:
    hours, _, zone = text.partition("@")
    start, dash, end = hours.partition("-")
    if not dash:
        raise click.BadParameter("write FROM-TO, such as 22:00-07:00", param_hint="--quiet")
    return {"from": start, "to": end, **({"timezone": zone} if zone else {})}
