"""What `pending`, `dead` and `receipts` share: options, lists, one delivery with its history."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.output import print_json, table


def filter_options(command: Any) -> Any:
    """The filters of a list."""
    for option in (
        click.option("--route", metavar="NAME", help="Only this route's."),
        click.option("--subject", help="Only events on this subject."),
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
        click.option("--cursor", help="Go on after an earlier list; it says how."),
    ):
        command = option(command)
    return command


def client() -> Any:
    """The sidecar."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.settings import load

    return SidecarClient(load())


def given(**options: Any) -> dict[str, str]:
    """The options that were given, as text."""
    return {name: str(value) for name, value in options.items() if value is not None}


def listed(path: str, options: dict[str, str], *, as_json: bool) -> None:
    """Print a list of deliveries."""
    found = client().call("GET", f"{path}?{urlencode(options)}")
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(one["id"]),
            one["state"],
            one["route"],
            one["subject"].removeprefix("agent.events."),
            one["changedAt"][:19],
            _why(one),
        ]
        for one in found["deliveries"]
    ]
    if not rows:
        click.echo("Nothing here.")
        return
    table(["ID", "STATE", "ROUTE", "SUBJECT", "SINCE", "WHY"], rows)
    if found["cursor"]:
        click.echo(f"More: --cursor {found['cursor']}")


def shown(path: str, *, as_json: bool) -> None:
    """Print one delivery with its event and its history."""
    one = client().call("GET", path)
    if as_json:
        print_json(one)
        return
    click.echo(f"delivery {one['id']} of event {one['event']}")
    click.echo(
        f"route {one['route']}, subject {one['subject']}, priority {one['priority']}, attempts {one['attempts']}"
    )
    for change in one["history"]:
        click.echo(f"  {change['at']}  {change['state']:9} {change['reason']}")
    if one["state"] == "pending" and (why := _why(one)):
        click.echo(f"  waits: {why}")
    click.echo(f"event: {json.dumps(one['document'], ensure_ascii=False)}")
    if one["text"] is not None:
        click.echo(f"text:\n{one['text']}")


def _why(one: dict[str, Any]) -> str:
    until = f" (until {one['until'][:19]})" if one.get("until") else ""
    return f"{one['reason']}{until}"
