"""`openclaw-nats start`."""

from __future__ import annotations

import click

from openclaw_nats.cli.output import json_option, print_json, step, waiting


@click.command("start")
@json_option
def command(as_json: bool) -> None:
    """Start the service and wait until events can be stored."""
    report = start()
    if as_json:
        print_json(report)
    else:
        step("✓", "openclaw-nats runs")


def start() -> dict[str, object]:
    """Start the service of this installation; return its health."""
    from openclaw_nats.cli.health import wait_until_up
    from openclaw_nats.cli.unfinished import finish_restore
    from openclaw_nats.installer.services import service_for
    from openclaw_nats.installer.setup import read_record
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    finish_restore()
    settings = load()
    settings.api_key()
    where = Locations(settings.home)
    service = service_for(where, read_record(where).get("service", ""))
    with waiting("starting openclaw-nats, and waiting until events can be stored"):
        service.install()
        service.start()
        return wait_until_up(settings, 30)
