"""`openclaw-nats pause`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, print_json, step
from openclaw_nats.cli.status import paused
from openclaw_nats.terminal_text import plural


@click.command("pause")
@click.option("--route", metavar="NAME", shell_complete=completes("routes"), help="Only this route, whatever it sends.")
@click.option("--for", "lasts", metavar="DURATION", help="Resume by itself after 30m, 2h …; otherwise `resume` does.")
@click.option("--reason", default="", help="Why: `status`, the dashboard and what waits show it.")
@click.option("--everything", is_flag=True, help="Webhooks and subjects too, and the agents' tools nats_*.")
@json_option
def command(as_json: bool, route: str | None, lasts: str | None, reason: str, everything: bool) -> None:
    """Hold turns: events wait in the inbox until `resume`. What runs already ends; `expiresAfter` goes on."""
    given = {"route": route, "for": lasts, "reason": reason, "everything": everything}
    body = {name: value for name, value in given.items() if value}
    found = client().call(
        "POST", "/api/pause", body, flags={"for": "--for", "reason": "--reason", "everything": "--everything"}
    )
    if as_json:
        print_json(found)
        return
    show(found)
    if names := found.get("expiring"):
        step("!", "these have expiresAfter: their events expire meanwhile", ", ".join(names))


def show(found: dict[str, Any]) -> None:
    """What is paused now."""
    for text in paused(found["pauses"]):
        step("✓", text)
    if found["pauses"] and found["sending"]:
        step("!", f"{plural(found['sending'], 'dispatch', 'dispatches')} in progress, left to end")
