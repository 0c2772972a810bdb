"""`openclaw-nats events`."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import click

from openclaw_nats.cli.output import json_option

DEFAULT_LIMIT = 50


@click.command("events")
@click.option(
    "--subject", metavar="PATTERN", help="Only subjects that this pattern covers, such as agent.events.tool.>"
)
@click.option("--since", metavar="DURATION", help="Only the last 30s, 10m, 2h, 7d … (default: all that is kept).")
@click.option("--limit", type=click.IntRange(0, 999_999_999), help="Only the newest N (default 50; with --json all).")
@json_option
def command(as_json: bool, subject: str | None, since: str | None, limit: int | None) -> None:
    """Print the stored events, oldest first, then end. --json prints one CloudEvent a line."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.settings import load

    if limit is None and not as_json:
        limit = DEFAULT_LIMIT
    given = {"subject": subject, "since": since, "limit": None if limit is None else str(limit)}
    query = {name: value for name, value in given.items() if value is not None}
    print_events(SidecarClient(load()).lines("/api/events", query, timeout=60), as_json=as_json)


def print_events(lines: Any, *, as_json: bool) -> None:
    """Print events as they come: the documents, or a line each for people."""
    for line in lines:
        if as_json:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        else:
            click.echo(one_line(json.loads(line)))


def one_line(event: dict[str, Any]) -> str:
    """An event for people: time, subject, where, and its data in short."""
    moment = str(event.get("time", ""))[11:23]
    where = event.get("sessionkey") or event.get("agentid") or ""
    data = event.get("data")
    if isinstance(data, dict):
        shown = " ".join(f"{key}={_short(value)}" for key, value in data.items() if value not in (None, "", {}, []))
    else:
        shown = _short(data)
    subject = str(event["subject"]).removeprefix("agent.events.")
    colour = "red" if "fail" in subject or (isinstance(data, dict) and data.get("success") is False) else "cyan"
    room = shutil.get_terminal_size((160, 24)).columns - 70
    return f"{moment} {click.style(subject.ljust(30), fg=colour)} {where:24} {shown[: max(room, 20)]}".rstrip()


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:57] + "…"
