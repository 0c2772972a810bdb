"""`openclaw-nats events`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from openclaw_nats.cli.event_lines import event_lines, full_subject
from openclaw_nats.cli.event_search import FILTERS, print_found, search_options
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import block, json_option, line, print_json, print_json_line, step
from openclaw_nats.cli.sidecar_client import SidecarDown
from openclaw_nats.cli.times import moment
from openclaw_nats.events.decoding import document_with_origin
from openclaw_nats.events.json_text import lenient
from openclaw_nats.events.origin import Origin
from openclaw_nats.terminal_text import to_json

SUBJECT_HELP = "Only subjects that this pattern covers, such as 'tool.>' (agent.events. may be left out)."


_SHORT = {"openclaworigin": "origin", "openclawtainted": "tainted"}


class Numbered(msgspec.Struct):
    """A line of `GET /api/events?numbered=true`: the event as it is stored, its sequence in the stream, who said it."""

    sequence: int
    event: msgspec.Raw
    origin: str = "outside"
    tainted: bool = True


@click.group("events", cls=Group, invoke_without_command=True)
@click.option("--subject", metavar="PATTERN", help=SUBJECT_HELP)
@click.option("--since", metavar="TIME", help="Only the last 30s, 10m, 2h, 7d …, or since a date and time.")
@click.option("--limit", type=click.IntRange(0, 999_999_999), help="Only the newest N (default 50; with --json all).")
@search_options
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool, limit: int | None, **options: Any) -> None:
    """Print the stored events, the newest at the end. --json prints one CloudEvent a line.

    The first column is the event's number in the stream: `openclaw-nats events show NUMBER` prints it in full. With
    --json and nothing but --subject, --since and --limit the whole stream is printed; with other options the newest 50.
    """
    from openclaw_nats.cli.deliveries import client

    if context.invoked_subcommand is not None:
        return
    if not as_json or any(options[name] for name in FILTERS) or not _is_duration(options["since"]):
        print_found(client(), options, limit, as_json=as_json)
        return
    given = {"subject": full_subject(options["subject"]), "since": options["since"], "limit": limit}
    query = {name: str(value) for name, value in given.items() if value is not None}
    for one in numbered(client().lines("/api/events", {**query, "numbered": "true"}, timeout=60)):
        print_event(one, as_json=True)


def _is_duration(since: str | None) -> bool:
    """Whether the stream itself can be asked for it; what is neither is refused by either with a reason."""
    return since is None or not since[:10].count("-")


@command.command("reindex")
@json_option
def reindex_command(as_json: bool) -> None:
    """Make the index of the stream again, by which `events` finds. It takes a while, and loses nothing."""
    from openclaw_nats.cli.deliveries import client

    client().call("POST", "/api/events/reindex", {})
    if as_json:
        print_json({"reindexing": True})
    else:
        step("✓", "the index is made again from the stream; `events` says what it lacks until then")


@command.command("show")
@click.argument("sequence", type=click.IntRange(1))
@json_option
def show_command(as_json: bool, sequence: int) -> None:
    """Show the event with the number SEQUENCE of the stream in full, and what became of it."""
    from openclaw_nats.cli.deliveries import client

    sidecar = client()
    event = sidecar.call("GET", f"/api/events/{sequence}")
    if as_json:
        print_json(event)
        return
    line(f"event {sequence} of the stream, {moment(str(event.get('time', '')))}, on {event.get('subject', '')}")
    for name, value in event.items():
        name = _SHORT.get(name, name)
        if name not in ("data", "time", "subject", "specversion"):
            line(f"  {name:16} {value if isinstance(value, str) else to_json(value)}")
    if "data" in event:
        line("data:")
        block(to_json(event["data"], indent=2))
    elif "data_base64" in event:
        line(f"data (base64): {event['data_base64']}")
    from urllib.parse import quote

    led_to = sidecar.call("GET", f"/api/deliveries?event={quote(str(event.get('id', '')), safe='')}")["deliveries"]
    for one in led_to:
        line(f"delivery {one['id']} by route {one['route']}: {one['state']} {one['reason']}".rstrip())
    if not led_to:
        line("No route took it.")


def numbered(lines: Iterator[bytes]) -> Iterator[Numbered]:
    """The lines of the API, decoded."""
    decoder = msgspec.json.Decoder(Numbered)
    for one in lines:
        try:
            yield decoder.decode(one)
        except msgspec.DecodeError:
            raise SidecarDown("the connection to the sidecar broke in the middle of an event") from None


def print_event(one: Numbered, *, as_json: bool) -> None:
    """Print an event: its document, or a line for people."""
    if as_json:
        print_json_line(document_with_origin(bytes(one.event), Origin(one.origin, one.tainted)))
        return
    event: Any = lenient(bytes(one.event))
    for parts in event_lines(one.sequence, event if isinstance(event, dict) else {"data": event}, one.origin):
        line(*parts)
