"""`openclaw-nats resume`."""

from __future__ import annotations

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, print_json, step
from openclaw_nats.cli.pause import show


@click.command("resume")
@click.option("--route", metavar="NAME", shell_complete=completes("routes"), help="End this route's own pause.")
@json_option
def command(as_json: bool, route: str | None) -> None:
    """End the pause of all routes, or of one: what waits goes out, as its flow control and budgets say."""
    refuse_agents("end a pause")
    found = client().call("POST", "/api/resume", {"route": route} if route else {})
    if as_json:
        print_json(found)
        return
    step("✓", f"route {route} is resumed" if route else "resumed")
    show(found)
