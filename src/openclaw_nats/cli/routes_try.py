"""`openclaw-nats routes test`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import Styled, block, json_option, line, print_json, step
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural
from openclaw_nats.text_formats import from_json

_FIRST_TURNS = 1


@click.command("test")
@click.argument("name", shell_complete=completes("routes"))
@click.option("--event", metavar="JSON", help='An event: {"subject": …, "data": …} (@FILE reads a file).')
@click.option("--since", metavar="DURATION", help="What was stored in the last 2h, 1d … (default 1h).")
@click.option("--with", "draft", metavar="FILE", help="Try the route in this JSON file instead of the saved one.")
@click.option("--all", "everything", is_flag=True, help="Show all turns and events, not the first only.")
@json_option
def test_command(
    as_json: bool, name: str, event: str | None, since: str | None, draft: str | None, everything: bool
) -> None:
    """Dry run of the route NAME: what would match, as how many turns, at what cost a day; with which text."""
    from urllib.parse import quote

    body: dict[str, Any] = {"event": json_of(event, "--event")} if event else {"since": since or "1h"}
    if draft:
        body["route"] = json_of(f"@{draft}", "--with")
    report = client().call("POST", f"/api/routes/{quote(name, safe='')}/test", body)
    if as_json:
        print_json(report)
        return
    step("✓", report["summary"])
    turns = report["firstTurns"] if everything else report["firstTurns"][:_FIRST_TURNS]
    for turn in turns:
        line()
        line(Styled(f"{moment(turn['at'])}  {plural(len(turn['events']), 'event')}", bold=True))
        block(turn["text"])
    unmatched = [one for one in report["judged"] if not one["matched"]]
    failed = [one for one in unmatched if one["reason"].startswith("dead letter")]
    for one in unmatched if everything else failed[:10]:
        step("✗", one["subject"], one["reason"])
    line()
    if not everything and (len(report["firstTurns"]) > len(turns) or len(unmatched) > len(failed)):
        line("(--all shows the other turns and events.)")
    line(f"(It assumes that {report['assumes']}.)")


def text_of(text: str, option: str) -> str:
    """The text itself, or what is in the file that it names after an @."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text()
    except OSError as error:
        raise click.BadParameter(f"{text[1:]} can't be read: {error.strerror}", param_hint=option) from None


def json_of(text: str, option: str) -> Any:
    """What JSON says, or what is in the file that it names after an @."""
    try:
        return from_json(text_of(text, option))
    except ValueError as error:
        raise click.BadParameter(f"not valid JSON: {error}", param_hint=option) from None
