"""`openclaw-nats audit`."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import fail_with, json_option, line, print_json, step, table
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

_MARKS = {"begun": " (begun)", "failed": " (failed)", "ended": "", "done": ""}


@click.group("audit", cls=Group, invoke_without_command=True)
@click.option("--since", metavar="WHEN", help="Only the last 2h …, or since an RFC 3339 time.")
@click.option("--search", metavar="TEXT", help="Only records with this text.")
@click.option("--limit", "-n", default=50, show_default=True, type=click.IntRange(1, 1000), help="Newest records.")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool, since: str | None, search: str | None, limit: int) -> None:
    """Show who changed what, and when, the newest first."""
    if context.invoked_subcommand is not None:
        return
    query = {"limit": str(limit)} | ({"since": since} if since else {}) | ({"search": search} if search else {})
    found = client().call("GET", f"/api/audit?{urlencode(query)}")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(one["number"]),
            moment(one["at"]),
            one["who"],
            one["act"] + _MARKS.get(one.get("stage", "done"), ""),
            one.get("about", ""),
            _changed(one),
        ]
        for one in found["records"]
    ]
    if not rows:
        line("Nothing is found.")
        return
    table(["number", "when", "who", "did", "to what", "what changed"], rows, below=["what changed"])


@command.command("verify")
@json_option
def verify_command(as_json: bool) -> None:
    """Check that nothing in the log was changed, removed or cut off. Exit code 1: something was."""
    found: dict[str, Any] = client().call("GET", "/api/audit/verify", timeout=120)
    if not found["sound"]:
        if as_json:
            print_json(found)
            sys.exit(1)
        hint = "A backup holds an older copy; `openclaw-nats audit` shows what is there, sidecar.log names each record."
        fail_with(f"the audit log is not complete: {found['problem']}", hint, 1)
    if as_json:
        print_json(found)
        return
    step("✓", f"the audit log is complete: {plural(found['records'], 'record')}")
    if found["newest"]:
        line(f"Its newest record is {found['newest']}, with the digest {found['digest']}.")


def _changed(one: dict[str, Any]) -> str:
    """What was before and is after, in one line."""
    before, after, reason = one.get("before"), one.get("after"), one.get("reason", "")
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        found = [f"{name}: {_short(before.get(name))} → {_short(after.get(name))}" for name in names]
    else:
        found = [_short(before) + " → " if before is not None and after is not None else ""]
        found = [found[0] + (_short(after) if after is not None else _short(before) if before is not None else "")]
    return "; ".join(filter(None, [*found, reason]))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:199] + "…"
