"""`openclaw-nats tail`."""

from __future__ import annotations

import time

import click

from openclaw_nats.cli.event_lines import full_subject
from openclaw_nats.cli.events import SUBJECT_HELP, numbered, print_event
from openclaw_nats.cli.output import json_option, line


@click.command("tail")
@click.option("--subject", metavar="PATTERN", help=SUBJECT_HELP)
@click.option("--since", metavar="DURATION", default="1s", show_default=True, help="Begin this far back.")
@json_option
def command(as_json: bool, subject: str | None, since: str) -> None:
    """Print events as they come, until Ctrl-C. While the sidecar is down, it waits."""
    from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarDown, SidecarError
    from openclaw_nats.settings import load, parse_duration

    client = SidecarClient(load())
    try:
        reach_back = parse_duration(since)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}", param_hint="--since") from None
    began = time.time() - reach_back
    seen: dict[tuple[int, bytes], None] = {}
    waiting = False
    while True:
        # After a break it begins again where it was; what was printed already is left out.
        query = {"follow": "true", "numbered": "true", "since": f"{max(1, int((time.time() - began) * 1000))}ms"}
        if subject:
            query["subject"] = full_subject(subject) or ""
        try:
            for one in numbered(client.lines("/api/events", query, timeout=60)):
                waiting = False
                began = time.time() - 2
                key = (one.sequence, bytes(one.event)[:200])  # a stream that was made again counts from 1
                if key not in seen:
                    print_event(one, as_json=as_json)
                    seen[key] = None
                    if len(seen) > 10_000:
                        del seen[next(iter(seen))]
        except SidecarError as error:
            if error.exit_code != SidecarDown.exit_code:
                raise  # a sidecar that has just started answers 503 until it has NATS: that passes, a refusal does not
            if not waiting:
                line(f"{error}; waiting for it", err=True)
            waiting = True
        time.sleep(0.5)
