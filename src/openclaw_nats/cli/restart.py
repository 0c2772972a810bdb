"""`openclaw-nats restart`."""

from __future__ import annotations

import click

from openclaw_nats.cli.output import json_option, print_json, step
from openclaw_nats.cli.start import start
from openclaw_nats.cli.stop import stop


@click.command("restart")
@json_option
def command(as_json: bool) -> None:
    """Stop the service, then start it: settings are read again."""
    stop()
    report = start()
    if as_json:
        print_json(report)
    else:
        step("✓", "openclaw-nats runs")
