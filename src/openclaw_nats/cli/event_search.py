"""What `openclaw-nats events` asks the index of the stream, and how it prints it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import click

from openclaw_nats.cli.event_lines import event_lines, full_subject
from openclaw_nats.cli.output import line, print_json_line
from openclaw_nats.cli.sidecar_client import SidecarClient
from openclaw_nats.cli.times import moment

DEFAULT_LIMIT = 50
_PAGE = 1000
FILTERS = ("kind", "agent", "session", "run", "origin", "text", "until", "failed", "probes", "cursor")


def search_options(command: Any) -> Any:
    """Which events, beside subject and time."""
    for option in reversed(
        [
            click.option("--kind", metavar="NAME", help="Only this kind: tool, llm, message, custom …"),
            click.option("--agent", metavar="ID", help="Only what the Gateway says is of this agent."),
            click.option("--session", metavar="KEY", help="Only of this session."),
            click.option("--run", metavar="ID", help="Only of this run."),
            click.option("--origin", metavar="NAME", help="Only what this origin said: gateway, operator, outside …"),
            click.option("--text", metavar="WORDS", help="Only with all of these words; quote a phrase."),
            click.option("--until", metavar="TIME", help="Only older than this: 10m, 2h, or a date and time."),
            click.option("--failed", is_flag=True, help="Only what reports a failure."),
            click.option("--probes", is_flag=True, help="Also the test events of doctor."),
            click.option("--cursor", metavar="NUMBER", help="Go on from where the last page ended."),
        ]
    ):
        command = option(command)
    return command


def print_found(sidecar: SidecarClient, options: dict[str, Any], limit: int | None, *, as_json: bool) -> None:
    """Print the newest events that are wanted, the oldest of them first; then where more are."""
    given = {**options, "subject": full_subject(options.get("subject"))}
    query = {name: "true" if value is True else value for name, value in given.items() if value not in (None, False)}
    wanted = DEFAULT_LIMIT if limit is None else limit
    events: list[dict[str, Any]] = []
    page: dict[str, Any] = {"cursor": None, "lookedBackTo": None, "index": {"behind": 0, "problem": ""}}
    while len(events) < wanted:
        asked = {**query, "limit": min(_PAGE, wanted - len(events))}
        page = sidecar.call("GET", f"/api/events/search?{urlencode(asked)}")
        events += page["events"]
        if page["cursor"] is None or not page["events"]:
            break
        query["cursor"] = page["cursor"]
    for one in reversed(events):
        _print(sidecar, one, as_json=as_json)
    if not events and not as_json:
        line("No event matches." if query else "No events yet.", err=True)
    _print_how_far(page)


def _print(sidecar: SidecarClient, one: dict[str, Any], *, as_json: bool) -> None:
    if not as_json:
        for parts in event_lines(one["sequence"], one["event"], one["origin"]):
            line(*parts)
        return
    if not one["whole"]:
        print_json_line(sidecar.call("GET", f"/api/events/{quote(str(one['sequence']))}"))
        return
    said = {"openclaworigin": one["origin"], "openclawtainted": one["tainted"]}
    print_json_line({**one["event"], **said})


def _print_how_far(page: dict[str, Any]) -> None:
    index = page["index"]
    if index["behind"]:
        line(f"The index lacks the newest {index['behind']} events: it is being made.", err=True)
    if index["problem"]:
        line(f"The index does not go on: {index['problem']}", err=True)
    if page["cursor"] is not None:
        at = f", looked back to {moment(page['lookedBackTo'])}" if page["lookedBackTo"] else ""
        line(f"More: --cursor {page['cursor']}{at}", err=True)
