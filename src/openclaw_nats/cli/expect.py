"""`openclaw-nats expect`: rules about silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.cli import flags
from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import full_subject
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, line, print_json, step, table, tell
from openclaw_nats.cli.times import moment
from openclaw_nats.errors import InvalidInput, SettingsError
from openclaw_nats.terminal_text import plural
from openclaw_nats.text_formats import from_toml, without_dates

_FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
_RUNS_SHOWN = 5


@click.group("expect", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List and change expectations: what has to come, and what must not. Its absence is an event."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all expectations and how they are."""
    _list(as_json=as_json)


@command.command("ready")
@json_option
def ready_command(as_json: bool) -> None:
    """List the ready-made ones, which `expect add NAME --ready` makes."""
    found = client().call("GET", "/api/expectations-ready")
    if as_json:
        print_json(found)
        return
    rows = [[one["name"], one["about"], f"--of: {one['needs']}" if one.get("needs") else ""] for one in found["ready"]]
    table(["NAME", "MISSED WHEN", "NEEDS"], rows, below=["NEEDS"])


@command.command("show")
@click.argument("name", shell_complete=completes("expectations"))
@json_option
def show_command(as_json: bool, name: str) -> None:
    """Show one expectation, what it waits for and what it has missed."""
    found = client().call("GET", _path(name))
    if as_json:
        print_json(found)
        return
    for key, value in found["rule"].items():
        line(f"{key:10} {value}")
    line(f"{'about':10} {found['about']}")
    line(f"{'state':10} {_state(found)}")
    if found["overflow"]:
        line(f"{'overflow':10} {plural(found['overflow'], 'event')} beyond the limit of episodes, not followed")
    if found["faults"]:
        line(f"{'faults':10} the key failed on {plural(found['faults'], 'event')}, last: {found['fault']}")
    rows = [
        [one["key"] or "-", one["state"], moment(one["began"]), moment(one["due"]), ", ".join(one.get("behind", []))]
        for one in found["episodes"]
    ]
    if rows:
        table(["KEY", "STATE", "SINCE", "DUE", "BEHIND"], rows, below=["BEHIND"])


@command.command("add")
@click.argument("name")
@click.option("--by", metavar="PATTERN", help="What has to come, or must not.")
@click.option("--after", metavar="PATTERN", help="It has to come after each event on this, --within a time.")
@click.option("--before", metavar="PATTERN", help="It must not come after an event on this, --within a time.")
@click.option("--within", metavar="DURATION", help="For how long, such as 10m.")
@click.option("--key", metavar="CEL", help="Which events belong together, such as event.runid.")
@click.option("--every", metavar="DURATION", help="It has to come so often, such as 1d.")
@click.option("--cron", metavar="EXPRESSION", help="It has to come for each of these times.")
@click.option("--timezone", metavar="ZONE", help="The zone of --cron, such as Europe/Berlin.")
@click.option("--grace", metavar="DURATION", help="How late it may come, with --every and --cron.")
@click.option("--lookback", metavar="DURATION", help="One that came so long before counts.")
@click.option("--spools/--no-spools", default=None, help="Whether to wait for the Gateways' spools [default: by --by].")
@click.option("--ready", metavar="NAME", help="A ready-made one; what else is given is in place of its own.")
@click.option("--of", metavar="TEXT", help="What the ready-made one needs.")
@json_option
def add_command(as_json: bool, name: str, ready: str | None, of: str | None, **given: Any) -> None:
    """Make the expectation NAME: `--after A --by B --within 10m`, `--every 1d --by B`, or another form of these."""
    refuse_agents("make an expectation")
    fields = {key: value for key, value in given.items() if value is not None}
    for key in ("by", "after", "before"):
        if key in fields:
            fields[key] = str(full_subject(fields[key]))
    if of is not None and ready is None:
        raise InvalidInput("--of is for a ready-made one", hint="Add --ready NAME.")
    body = {**(_ready(ready, of) if ready is not None else {}), **fields, "name": name}
    if "by" not in body:
        raise click.UsageError("--by is missing: what has to come, or must not?")
    found = client().call("POST", "/api/expectations", body, flags=flags.EXPECTATION)
    tell(found, f"expectation {name}: {found['about']}", as_json=as_json)


@command.command("remove")
@click.argument("name", shell_complete=completes("expectations"))
@json_option
def remove_command(as_json: bool, name: str) -> None:
    """Remove the expectation NAME, with all that it waits for."""
    refuse_agents("remove an expectation")
    client().call("DELETE", _path(name))
    from openclaw_nats.contract.command_line import Removed

    tell(Removed(name), f"removed expectation {name}", as_json=as_json)


@command.command("pause")
@click.argument("name", shell_complete=completes("expectations"))
@json_option
def pause_command(as_json: bool, name: str) -> None:
    """Pause the expectation NAME until it is resumed. What it waits for is forgotten."""
    refuse_agents("change an expectation")
    tell(client().call("PATCH", _path(name), {"paused": True}), f"paused expectation {name}", as_json=as_json)


@command.command("resume")
@click.argument("name", shell_complete=completes("expectations"))
@json_option
def resume_command(as_json: bool, name: str) -> None:
    """Resume the expectation NAME, from now on."""
    refuse_agents("change an expectation")
    tell(client().call("PATCH", _path(name), {"paused": None}), f"resumed expectation {name}", as_json=as_json)


@command.command("test")
@click.argument("name", shell_complete=completes("expectations"))
@json_option
def test_command(as_json: bool, name: str) -> None:
    """Publish the notice of NAME as a test, to see which routes take it."""
    refuse_agents("test an expectation")
    found = client().call("POST", f"{_path(name)}/test", {})
    routes = ", ".join(found["routes"]) or "no route takes it"
    tell(found, f"published {found['subject']}: {routes}", as_json=as_json)


@command.command("apply")
@click.option(
    "-f", "--file", "path", type=_FILE, required=True, help="TOML with [[expectation]] tables (- is standard input)."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@json_option
def apply_command(as_json: bool, path: Path, dry_run: bool) -> None:
    """Make the expectations of a file, and change those that differ. None is removed."""
    refuse_agents("change expectations")
    sidecar, changes = client(), []
    there = {one["rule"]["name"]: one["rule"] for one in sidecar.call("GET", "/api/expectations")["expectations"]}
    for one in _read(path):
        old = there.get(one["name"])
        if old is None:
            changes.append(
                {"change": "add", "expectation": one["name"], "detail": ", ".join(sorted(one.keys() - {"name"}))}
            )
            if not dry_run:
                sidecar.call("POST", "/api/expectations", one)
            continue
        differing = {key: one.get(key) for key in old.keys() | one.keys() if old.get(key) != one.get(key)}
        if differing:
            changes.append({"change": "change", "expectation": one["name"], "detail": ", ".join(sorted(differing))})
            if not dry_run:
                sidecar.call("PATCH", _path(one["name"]), differing)
    if as_json:
        print_json({"applied": not dry_run, "changes": changes})
        return
    for change in changes:
        step({"add": "+", "change": "~"}[change["change"]], f"{change['expectation']}: {change['detail']}")
    line("Nothing to change." if not changes else "Nothing was changed (--dry-run)." if dry_run else "Done.")


def _read(path: Path) -> list[dict[str, Any]]:
    """The [[expectation]] tables of a file; raise SettingsError."""
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            found = without_dates(from_toml(str(file.read())))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    tables = found.pop("expectation", [])
    if found or not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise SettingsError(f"{path} may hold [[expectation]] tables only")
    for one in tables:
        if not isinstance(one.get("name"), str):
            raise SettingsError(f"{path} holds an expectation without a name")
        for key in ("by", "after", "before"):
            if isinstance(one.get(key), str):
                one[key] = str(full_subject(one[key]))
        if one.get("paused") is False:
            del one["paused"]
    return [dict(one) for one in tables]


def _ready(name: str, of: str | None) -> dict[str, Any]:
    """The rule of a ready-made one."""
    ready = {one["name"]: one for one in client().call("GET", "/api/expectations-ready")["ready"]}
    if name not in ready:
        raise InvalidInput(f"there is no ready-made expectation {name!r}", hint=f"There are {', '.join(ready)}.")
    found, rule = ready[name], dict(ready[name]["rule"])
    if bool(found.get("needs")) != (of is not None):
        needs = found.get("needs")
        raise InvalidInput(f"{name} needs --of: {needs}" if needs else f"{name} needs nothing: leave out --of")
    if of is not None:
        rule["by"] = rule["by"].replace("OF", of.removeprefix("agent.events."))
    return rule


def _list(*, as_json: bool) -> None:
    found = client().call("GET", "/api/expectations")
    if as_json:
        print_json(found)
        return
    if found["problem"]:
        step("!", found["problem"])
    if not found["expectations"]:
        line("No expectations. `openclaw-nats expect ready` shows those that are ready-made.")
    rows = [[one["rule"]["name"], _state(one), str(one["open"]), one["about"]] for one in found["expectations"]]
    rows += [[one["name"], _state(one), "-", f"built in: {one['about']}{_runs(one)}"] for one in found["watchdog"]]
    table(["NAME", "STATE", "WAITS FOR", "WHAT"], rows, below=["WHAT"])


def _runs(one: dict[str, Any]) -> str:
    """What a built-in rule reports now."""
    found = [f"{run['key']} ({run['agent']}) " if run["key"] else "" for run in one["episodes"][:_RUNS_SHOWN]]
    shown = [f"{run}since {of['since']}" for run, of in zip(found, one["episodes"], strict=False)]
    more = [f"and {one['missed'] - len(shown)} more"] if one["missed"] > len(shown) else []
    return f": {', '.join([*shown, *more])}" if shown else ""


def _state(one: dict[str, Any]) -> str:
    if one["state"] == "missed":
        return f"missed ({one['missed']})"
    if one["state"] == "unknown":
        behind = f": {', '.join(one['behind'])} may still tell" if one["behind"] else ""
        return f"not known yet ({one['unknown']}){behind}"
    return str(one["state"])


def _path(name: str) -> str:
    return f"/api/expectations/{quote(name, safe='')}"
