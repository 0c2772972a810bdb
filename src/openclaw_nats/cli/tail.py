"""`openclaw-nats tail`."""

from __future__ import annotations

import time

import click

from openclaw_nats.cli.events import print_events
from openclaw_nats.cli.output import json_option


@click.command("tail")
@click.option(
    "--subject", metavar="PATTERN", help="Only subjects that this pattern covers, such as agent.events.tool.>"
)
@click.option("--since", metavar="DURATION", default="1s", show_default=True, help="Begin this far back.")
@json_option
def command(as_json: bool, subject: str | None, since: str) -> None:
    """Print events as they come, until Ctrl-C. It waits for a sidecar that is away."""
    from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarDown
    from openclaw_nats.settings import load, parse_duration

    client = SidecarClient(load())
    try:
        reach_back = parse_duration(since)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}", param_hint="--since") from None
    began = time.time() - reach_back
    seen: dict[str, None] = {}
    told = False
    while True:
        # After a break it begins again where it was; what was printed already is left out.
        query = {"follow": "true", "since": f"{max(1, int((time.time() - began) * 1000))}ms"}
        if subject:
            query["subject"] = subject
        try:
            for line in client.lines("/api/events", query, timeout=60):
                told = False
                began = time.time() - 2
                key = _id_of(line)
                if key not in seen:
                    print_events([line], as_json=as_json)
                    seen[key] = None
                    if len(seen) > 10_000:
                        del seen[next(iter(seen))]
        except SidecarDown as error:
            if not told:
                click.echo(f"{error}; waiting for it", err=True)
            told = True
        time.sleep(0.5)


def _id_of(line: bytes) -> str:
    import json

    return str(json.loads(line)["id"])
