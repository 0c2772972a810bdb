"""`openclaw-nats approvals`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client, page_options
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import block, json_option, line, print_json, step, table
from openclaw_nats.cli.times import moment

_STATES = ("pending", "approved", "denied", "expired", "all")
_MARK = {"approved": "✓", "denied": "✗"}
_USES = {
    "waiting": "its turn has not made the call yet",
    "begun": "it was let through; how it ended is not known",
    "done": "it ran",
    "failed": "it ran, and failed",
    "unused": "it did not run",
}


def list_options(command: Any) -> Any:
    """Which approvals."""
    option = click.option(
        "--state", type=click.Choice(_STATES), default="pending", show_default=True, help="Those in this state."
    )
    return option(page_options(command))


@click.group("approvals", cls=Group, invoke_without_command=True)
@list_options
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, **options: Any) -> None:
    """List guarded calls of tools that wait for your answer."""
    if context.invoked_subcommand is None:
        listed(options, as_json=as_json)


@command.command("list")
@list_options
@json_option
def list_command(as_json: bool, **options: Any) -> None:
    """List guarded calls of tools that wait for your answer."""
    listed(options, as_json=as_json)


@command.command("show")
@click.argument("number", type=int)
@json_option
def show_command(as_json: bool, number: int) -> None:
    """Show approval NUMBER: who wants what, and what became of it."""
    one = client().call("GET", f"/api/approvals/{number}")
    if as_json:
        print_json(one)
        return
    line(f"approval {one['id']}: {_state(one)}")
    line(f"agent {one['agent'] or '-'}, session {one['session'] or '-'}")
    line(f"route {one['route']}, delivery {one['dispatch']}, events {', '.join(one['events']) or '-'}")
    line(f"asked for {one['asked']} times, first {moment(one['askedAt'])}, last {moment(one['lastAskedAt'])}")
    if one["state"] == "pending":
        line(f"waits until {moment(one['expiresAt'])}")
        if one.get("asking"):
            line(f"OpenClaw itself asks until {moment(one['asking'])}: the first answer counts, there or here")
        line(f"--always would add to the route's tools: {one.get('rule') or 'nothing; that is not possible'}")
    if one.get("use"):
        at = f" at {moment(one['usedAt'])}" if one.get("usedAt") else ""
        line(f"since then: {_USES[one['use']]}{at}")
    if (before := one.get("earlier")) is not None:
        line(_before(before))
    if one.get("problem"):
        line(f"note: {one['problem']}")
    line(f"{one['tool']}, arguments ({one['size']} characters):")
    block(one["arguments"])


@command.command("approve")
@click.argument("number", type=int)
@click.option("--always", is_flag=True, help="Such calls of its route need no answer any more.")
@json_option
def approve_command(as_json: bool, number: int, *, always: bool) -> None:
    """Let call NUMBER run once, in a turn of its session that begins now."""
    refuse_agents("answer an approval")
    body = {"always": True} if always else {}
    one = client().call("POST", f"/api/approvals/{number}/approve", body, flags={"always": "--always"})
    if as_json:
        print_json(one)
        return
    step("✓", f"approval {number}: {one['tool']} may run once, until {moment(one['usableUntil'])}")
    if one.get("always"):
        step("✓", f"the tools of route {one['route']} hold {one['always']} now")


@command.command("deny")
@click.argument("number", type=int)
@json_option
def deny_command(as_json: bool, number: int) -> None:
    """Leave call NUMBER refused."""
    refuse_agents("answer an approval")
    one = client().call("POST", f"/api/approvals/{number}/deny", {})
    if as_json:
        print_json(one)
        return
    step("✓", f"approval {number}: {one['tool']} stays refused")


def listed(options: dict[str, Any], *, as_json: bool) -> None:
    """Print a list of approvals."""
    query = urlencode({name: value for name, value in options.items() if value is not None})
    found = client().call("GET", f"/api/approvals?{query}")
    if as_json:
        print_json(found)
        return
    rows = [
        [str(one["id"]), _state(one), one["route"], one["tool"], moment(one["lastAskedAt"]), one["arguments"]]
        for one in found["approvals"]
    ]
    if not rows:
        line("Nothing waits for your answer." if options["state"] == "pending" else "No approval matches.")
    else:
        table(["ID", "STATE", "ROUTE", "TOOL", "ASKED", "ARGUMENTS"], rows, below=["ARGUMENTS"])
        for one in found["approvals"]:
            if one["state"] == "pending" and "earlier" in one:
                step("!", f"{one['id']}: {_before(one['earlier'])}")
    if found["notKept"]:
        step("!", f"{found['notKept']} more calls were refused and not kept: too many of their route or agent wait")
    if found["cursor"]:
        line(f"More: --cursor {found['cursor']}")


def _before(earlier: dict[str, Any]) -> str:
    at = moment(earlier["usedAt"])
    return f"approval {earlier['id']} let the same call through at {at}: {_USES[earlier['use']]}"


def _state(one: dict[str, Any]) -> str:
    if one["state"] in _MARK:
        use = f", {one['use']}" if one.get("use") else ""
        return f"{one['state']} by {one['answeredBy']}{use}"
    return str(one["state"])
