"""`openclaw-nats routes`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from openclaw_nats.cli import flags
from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import full_subject, short_subject
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.instructions import instruction_of, instruction_options
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import block, json_option, line, print_json, step, table, tell
from openclaw_nats.cli.routes_try import json_of, test_command, text_of
from openclaw_nats.cli.routes_why import why_command
from openclaw_nats.cli.targets import target_of
from openclaw_nats.cli.times import moment
from openclaw_nats.cli.unreadable import tell_unreadable
from openclaw_nats.terminal_text import plural, to_json

_ROUTES_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


@click.group("routes", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List and change routes: which events wake which agent."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the routes with what became of their events."""
    _list(as_json=as_json)


@command.command("show")
@click.argument("name", shell_complete=completes("routes"))
@json_option
def show_command(as_json: bool, name: str) -> None:
    """Show one route in full."""
    route = client().call("GET", _path(name))
    if as_json:
        print_json(route)
        return
    for key, value in route.items():
        if key in ("createdAt", "updatedAt", "waitingSince"):
            line(f"{key:15} {moment(value or '')}")
        elif key in ("template", "instruction"):
            line(key)
            block(value)
        elif key == "madeBy":
            line(f"{key:15} {value or 'operator'}")
        elif key != "counts":
            line(f"{key:15} {value if isinstance(value, str) else to_json(value)}")
    line("counts          " + ", ".join(f"{key} {value}" for key, value in route["counts"].items() if value))


def _route_options(command: Any) -> Any:
    for option in (
        *instruction_options("What the agent is to do about these events"),
        click.option("--when", metavar="CEL", help="Only events on which this expression is true."),
        click.option("--template", metavar="TEXT", help="Jinja2 template of the turn's text (@FILE reads a file)."),
        click.option("--payload", metavar="JSON", help="Object merged into each event's data."),
        click.option("--priority", type=click.IntRange(1, 10), help="1 low … 10 high, instead of the event's own."),
        click.option("--debounce", metavar="DURATION", help="Wait until no event has come for this long."),
        click.option("--batch", metavar="SIZE/WAIT", help="Up to SIZE events a turn, waiting WAIT for them: 50/10s."),
        click.option("--rate", metavar="COUNT/PER", help="At most COUNT turns in PER: 20/1h."),
        click.option("--quiet", metavar="FROM-TO[@ZONE]", help="Hold events then: 22:00-07:00@Europe/Amsterdam."),
        click.option("--budget", metavar="COST/PER", help="What its turns may cost in PER, then events wait: 0.50/1d."),
        click.option("--concurrency", type=click.IntRange(1, 1000), help="Turns at the same time (default 1)."),
        click.option("--expires-after", metavar="DURATION", help="Do not deliver events that are older."),
        click.option("--trusted/--untrusted", default=None, help="Whether the agent may take events as instructions."),
        click.option(
            "--tools", metavar="RULES", help='What outside events may lead to: read, all, none, "read,exec(df *)".'
        ),
        click.option("--guard", type=click.Choice(("ask", "block", "off")), help="What becomes of other tool calls."),
        click.option("--set", "fields", multiple=True, metavar="FIELD=JSON", help='Any field: --set flow={"key":"…"}'),
    ):
        command = option(command)
    return command


@command.command("add")
@click.argument("name")
@click.argument("pattern")
@click.argument("target")
@_route_options
@json_option
def add_command(as_json: bool, name: str, pattern: str, target: str, **given: Any) -> None:
    """Add the route NAME (or replace it): events on PATTERN go to TARGET.

    TARGET is main, a session key, agent:ID (an isolated turn), wake[:ID], a https:// address, subject:SUBJECT, or JSON.
    """
    body = {"name": name, "pattern": full_subject(pattern), "target": target_of(target), **_given_only(_fields(given))}
    _refuse_agents(body)
    route = client().call("POST", "/api/routes", body, flags=flags.ROUTE)
    tell(route, f"route {name}: {pattern} → {_shown(route)}", as_json=as_json)
    _warn(route, as_json=as_json)


@command.command("edit")
@click.argument("name", shell_complete=completes("routes"))
@click.option("--pattern", help="Other subjects.")
@click.option("--target", help="Another target.")
@_route_options
@json_option
def edit_command(as_json: bool, name: str, pattern: str | None, target: str | None, **given: Any) -> None:
    """Change fields of the route NAME; the others stay. An empty value (--when "") resets a field to its default."""
    sidecar = client()
    changes = _fields(given)
    if isinstance(changes.get("flow"), dict):
        flow = {**sidecar.call("GET", _path(name)).get("flow", {}), **changes["flow"]}
        changes["flow"] = {key: value for key, value in flow.items() if value is not None} or None
    changes |= {"pattern": full_subject(pattern)} if pattern is not None else {}
    changes |= {"target": target_of(target)} if target is not None else {}
    if not changes:
        raise click.UsageError("Nothing to change was given.")
    _refuse_agents(changes)
    route = sidecar.call("PATCH", _path(name), changes, flags=flags.ROUTE)
    tell(route, f"changed route {name}", as_json=as_json)
    _warn(route, as_json=as_json)


@command.command("enable")
@click.argument("name", shell_complete=completes("routes"))
@json_option
def enable_command(as_json: bool, name: str) -> None:
    """Enable the route NAME: it takes what is stored from now on."""
    tell(client().call("PATCH", _path(name), {"enabled": True}), f"enabled route {name}", as_json=as_json)


@command.command("disable")
@click.argument("name", shell_complete=completes("routes"))
@json_option
def disable_command(as_json: bool, name: str) -> None:
    """Disable the route NAME: it takes no events, and what waits for it is held."""
    tell(client().call("PATCH", _path(name), {"enabled": False}), f"disabled route {name}", as_json=as_json)


@command.command("remove")
@click.argument("name", shell_complete=completes("routes"))
@json_option
def remove_command(as_json: bool, name: str) -> None:
    """Remove the route NAME; what waits for it is dropped."""
    client().call("DELETE", _path(name))
    from openclaw_nats.contract.command_line import Removed

    tell(Removed(name), f"removed route {name}", as_json=as_json)


command.add_command(test_command)
command.add_command(why_command)


@command.command("apply")
@click.option("-f", "--file", required=True, type=_ROUTES_FILE, help="The file; - is standard input.")
@click.option("--prune", is_flag=True, help="Remove routes that the file does not name.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option("--dry-run", is_flag=True, help="Only show the differences.")
@json_option
def apply_command(as_json: bool, file: Path, prune: bool, yes: bool, dry_run: bool) -> None:
    """Make the routes as a TOML file says ([[route]] tables), after showing the differences.

    A secret that is masked (***) is the one in force. One that is written out is saved each time: whether it is the
    same is not shown.
    """
    from openclaw_nats.cli.routes_file import differences, read, with_secrets
    from openclaw_nats.contract.command_line import RouteChanges

    sidecar = client()
    wanted = read(file)
    if not dry_run:
        refuse_agents("make routes of a file")
    changes = differences(wanted, sidecar.call("GET", "/api/routes")["routes"], prune=prune)
    if not as_json:
        for change in changes:
            step(change.mark, change.name, change.text)
        if not changes:
            step("✓", "nothing to change")
    changed = {change.name for change in changes}
    hidden = [route for route in with_secrets(wanted) if route["name"] not in changed]
    if not dry_run:
        if changes and not yes and not as_json:
            if str(file) == "-":
                raise click.UsageError("with -f - nothing can be asked: --yes does it, --dry-run only shows it.")
            click.confirm("Do this?", default=False, abort=True)
        for change in changes:
            if change.mark == "-":
                sidecar.call("DELETE", _path(change.name))
            else:
                _warn(sidecar.call("POST", "/api/routes", change.route), as_json=as_json, name=change.name)
        for route in hidden:  # only the sidecar knows whether they are the same
            sidecar.call("POST", "/api/routes", route)
    if hidden and not as_json:
        saved = "would be saved" if dry_run else "were saved"
        step("!", f"secrets of {', '.join(route['name'] for route in hidden)} {saved}", "they are not compared")
    if as_json:
        print_json(RouteChanges([change.for_machines() for change in changes]))
    elif changes and not dry_run:
        step("✓", f"{plural(len(changes), 'route')} changed")


@command.command("export")
@json_option
def export_command(as_json: bool) -> None:
    """Print the routes as a file for `routes apply`: TOML, or JSON with --json. Masked secrets keep those in force.

    Routes that agents have made are left out: applying the file would make them yours.
    """
    from openclaw_nats.cli.routes_file import document, toml

    routes = client().call("GET", "/api/routes")["routes"]
    own = [route for route in routes if not route["madeBy"]]
    if as_json:
        import msgspec

        from openclaw_nats.contract.command_line import ExportedRoutes

        print_json(msgspec.convert({"routes": [document(route) for route in own]}, ExportedRoutes))
        return
    if left := len(routes) - len(own):
        line(f"# {left} routes of agents are left out.")
    if own:
        block(toml(own), indent="")


def _list(*, as_json: bool) -> None:
    found = client().call("GET", "/api/routes")
    routes = found["routes"]
    if as_json:
        print_json(found)
        return
    tell_unreadable(found, "route", "routes remove")
    if not routes:
        line("No routes yet. `openclaw-nats routes add NAME PATTERN TARGET` adds one.")
        return
    rows = []
    for route in routes:
        counts = route["counts"]
        waiting = counts["pending"] + counts["sending"] + counts["failed"]
        marks = {"disabled": not route["enabled"], "paused": "paused" in route, "trusted": route["trusted"]}
        name = route["name"] + "".join(f" ({mark})" for mark, holds in marks.items() if holds)
        numbers = (counts["matched"], counts["turns"], counts["absorbed"], counts["delivered"], waiting, counts["dead"])
        by = route["madeBy"].partition(" in ")[0] or "operator"
        rows.append([name, short_subject(route["pattern"]), _shown(route), by, *map(str, numbers)])
    head = ["ROUTE", "PATTERN", "TARGET", "MADE BY", "MATCHED", "TURNS", "ABSORBED", "DELIVERED", "WAITING", "DEAD"]
    table(head, rows, below=["PATTERN", "TARGET", "MADE BY"])
    for route in routes:
        if note := route.get("instructionNote"):
            step("!", route["name"], note)


def _warn(route: dict[str, Any], *, as_json: bool, name: str = "") -> None:
    """What is to be said of its target, conditions and text, on stderr."""
    for what in ("target", "trial", "instruction"):
        if not as_json and (note := route.get(f"{what}Note")):
            step("!", f"{name}: {what}" if name else what, note, err=True)


def _shown(route: dict[str, Any]) -> str:
    target = route["resolvedTarget"]
    where = target.get("sessionKey") or target.get("url") or target.get("subject") or target["agentId"]
    return f"{target['kind']} {where}"


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/api/routes/{quote(name, safe='')}"


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    """The route's fields that the options name; None for one that is given as nothing: its default."""
    found: dict[str, Any] = {}
    if (instruction := instruction_of(given)) is not None:
        found["instruction"] = instruction or None
    fields = {
        "when": "when",
        "priority": "priority",
        "trusted": "trusted",
        "guard": "guard",
        "expires_after": "expiresAfter",
    }
    for name, field in fields.items():
        if given[name] is not None:
            found[field] = None if given[name] == "" else given[name]
    if given["tools"] is not None:
        found["tools"] = _tools(given["tools"])
    if given["template"] is not None:
        found["template"] = text_of(given["template"], "--template") or None
    if given["payload"] is not None:
        found["payload"] = json_of(given["payload"], "--payload") if given["payload"] else None
    if flow := _flow(given):
        found["flow"] = flow
    for text in given["fields"]:
        name, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter("write FIELD=JSON", param_hint="--set")
        found[name] = json_of(value, "--set")
    return found


def _tools(text: str) -> str | list[str] | None:
    """A preset, or a list of rules with commas between them; a comma within brackets belongs to its rule."""
    rules: list[str] = []
    for part in text.split(","):
        if rules and rules[-1].count("(") > rules[-1].count(")"):
            rules[-1] += f",{part}"
        else:
            rules.append(part)
    rules = [rule.strip() for rule in rules]
    if len(rules) == 1:
        return (rules[0] if rules[0] in ("read", "all", "none") else rules) if rules[0] else None
    return rules


def _refuse_agents(fields: dict[str, Any]) -> None:
    """What an agent's turn may do, no agent says."""
    if fields.keys() & {"guard", "tools", "trusted"}:
        refuse_agents("say what a route's turns may do")


def _given_only(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a new route: what is given as nothing has its default."""
    if isinstance(fields.get("flow"), dict):
        fields = {**fields, "flow": {key: value for key, value in fields["flow"].items() if value is not None} or None}
    return {key: value for key, value in fields.items() if value is not None}


def _flow(given: dict[str, Any]) -> dict[str, Any]:
    names = {"debounce": "debounce", "batch": "batch", "rate": "rate", "quiet": "quietHours", "budget": "budget"}
    flow: dict[str, Any] = {field: None for name, field in names.items() if given[name] == ""}
    if given["debounce"]:
        flow["debounce"] = given["debounce"]
    if given["batch"]:
        size, wait = _pair(given["batch"], "--batch", "50/10s")
        flow["batch"] = {"size": _whole(size, "--batch"), "wait": wait}
    if given["rate"]:
        count, per = _pair(given["rate"], "--rate", "20/1h")
        flow["rate"] = {"count": _whole(count, "--rate"), "per": per}
    if given["budget"]:
        cost, per = _pair(given["budget"], "--budget", "0.50/1d")
        flow["budget"] = {"cost": _amount(cost, "--budget"), "per": per}
    if given["concurrency"]:
        flow["concurrency"] = given["concurrency"]
    if given["quiet"]:
        hours, _, zone = given["quiet"].partition("@")
        start, dash, end = hours.partition("-")
        if not dash:
            raise click.BadParameter("write FROM-TO, such as 22:00-07:00", param_hint="--quiet")
        flow["quietHours"] = {"from": start, "to": end, **({"timezone": zone} if zone else {})}
    return flow


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    first, slash, second = text.partition("/")
    if not slash:
        raise click.BadParameter(f"write it like {example}", param_hint=option)
    return first, second


def _whole(text: str, option: str) -> int:
    if not text.isdigit():
        raise click.BadParameter(f"{text!r} is not a whole number", param_hint=option)
    return int(text)


def _amount(text: str, option: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        raise click.BadParameter(f"{text!r} is not an amount such as 0.50", param_hint=option)
    return float(text)
