"""What `pending`, `dead` and `receipts` share: options, lists, one delivery with its history."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.event_lines import full_subject, short_subject
from openclaw_nats.cli.names import NamingClient, completes
from openclaw_nats.cli.output import block, line, print_json, table
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import to_json


def filter_options(command: Any) -> Any:
    """The filters of a list."""
    for option in (
        click.option("--route", metavar="NAME", shell_complete=completes("routes"), help="Only this route's."),
        click.option("--subject", metavar="PATTERN", help="Only events on these subjects, such as 'tool.>'."),
        click.option("--session", metavar="KEY", help="Only events about this session."),
        click.option("--since", metavar="WHEN", help="Only what changed in the last 2h …, or since an RFC 3339 time."),
        click.option("--until", metavar="WHEN", help="Only what changed before that."),
    ):
        command = option(command)
    return command


def page_options(command: Any) -> Any:
    """How much of a list."""
    for option in (
        click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many."),
        click.option("--cursor", help="Continue after an earlier list, which shows the cursor."),
    ):
        command = option(command)
    return command


def client() -> Any:
    """The sidecar."""
    from openclaw_nats.settings import load

    return NamingClient(load())


def given(**options: Any) -> dict[str, str]:
    """The options that were given, as text; a subject in full."""
    found = {name: str(value) for name, value in options.items() if value is not None}
    return found | ({"subject": full_subject(found["subject"]) or ""} if "subject" in found else {})


_EMPTY = {"/api/pending": "Nothing waits: every delivery has ended.", "/api/dead": "No dead letters."}


def listed(path: str, options: dict[str, str], *, as_json: bool) -> None:
    """Print a list of deliveries."""
    found = client().call("GET", f"{path}?{urlencode(options)}")
    if not found["deliveries"]:
        check_route(options.get("route"))
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(one["id"]),
            one["state"],
            one["route"],
            short_subject(one["subject"]),
            moment(one["changedAt"]),
            _why(one),
        ]
        for one in found["deliveries"]
    ]
    if not rows:
        line(_EMPTY[path] if options.keys() <= {"limit"} else "No delivery matches.")
        return
    table(["ID", "STATE", "ROUTE", "SUBJECT", "SINCE", "WHY"], rows, below=["WHY"])
    if found["cursor"]:
        line(f"{len(rows)} of {found['total']}. More: --cursor {found['cursor']}")


def check_route(name: str | None) -> None:
    """Raise NotFound for a route that does not exist: nothing was found, and that would be a misleading reason."""
    if name is None:
        return
    from openclaw_nats.errors import NotFound
    from openclaw_nats.suggestions import did_you_mean

    names = [one["name"] for one in client().call("GET", "/api/routes")["routes"]]
    if name not in names:
        hint = did_you_mean(name, names, "`openclaw-nats routes` lists them.")
        raise NotFound(f"there is no route {name[:80]!r}", hint=hint)


def shown(path: str, *, as_json: bool) -> None:
    """Print one delivery with its event and its history."""
    one = client().call("GET", path)
    if as_json:
        print_json(one)
        return
    line(f"delivery {one['id']} of event {one['event']}")
    line(f"route {one['route']}, subject {one['subject']}, priority {one['priority']}, attempts {one['attempts']}")
    show_history(one["history"])
    if one["state"] == "pending" and (why := _why(one)):
        line(f"  waits: {why}")
    line("event:")
    block(to_json(one["document"], indent=2))
    if one["text"] is not None:
        line("text:")
        block(one["text"])


def show_history(changes: list[dict[str, Any]]) -> None:
    """What happened to a delivery or receipt, a line each."""
    for change in changes:
        line(f"  {moment(change['at'])}  {change['state']:9} {change['reason']}".rstrip())


def _why(one: dict[str, Any]) -> str:
    until = f" (until {moment(one['until'])})" if one.get("until") else ""
    return f"{one['reason']}{until}"
