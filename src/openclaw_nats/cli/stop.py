"""`openclaw-nats stop`."""

from __future__ import annotations

import click

from openclaw_nats.cli.output import json_option, print_json, step, waiting


@click.command("stop")
@json_option
def command(as_json: bool) -> None:
    """Stop the service. Until it is started again the plugin keeps events in its spool."""
    was_running = stop()
    if as_json:
        from openclaw_nats.contract.command_line import Stopped

        print_json(Stopped(was_running))
    else:
        step("✓", "openclaw-nats is stopped" if was_running else "openclaw-nats was not running")


def stop() -> bool:
    """Stop the service of this installation; True when it was running."""
    from openclaw_nats.installer.services import service_for
    from openclaw_nats.installer.setup import read_record
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    where = Locations(load().home)
    service = service_for(where, read_record(where).get("service", ""))
    with waiting("stopping openclaw-nats: first the sidecar, so that what is being sent ends, then nats-server"):
        was_running = service.running()
        service.stop()
    return was_running
