"""`openclaw-nats restart`."""

from __future__ import annotations

import sys

import click

from openclaw_nats.cli.output import json_option, print_json, step
from openclaw_nats.cli.start import start
from openclaw_nats.cli.stop import stop


@click.command("restart")
@json_option
def command(as_json: bool) -> None:
    """Stop the service, then start it: settings are read again. An `up` in the foreground stays the same process."""
    from openclaw_nats.cli.health import wait_until_up
    from openclaw_nats.settings import load

    if not as_json and sys.stdout.isatty():
        step("+", "restarting nats-server and the sidecar")
    report = wait_until_up(load(), 30) if restart_running(everything=True) else start()
    if as_json:
        print_json(report)
    else:
        step("✓", "openclaw-nats runs")


def restart_running(*, everything: bool) -> bool:
    """Have what runs read its settings again; False when nothing runs.

    Without `everything` only what a changed setting concerns is restarted. `up` does it itself, so that it stays the
    process that an init, a service manager or a terminal started; containers and an `up` of an older release are
    stopped and started.
    """
    from openclaw_nats.installer.services import service_for
    from openclaw_nats.installer.setup import read_record
    from openclaw_nats.locations import Locations
    from openclaw_nats.service import restarting
    from openclaw_nats.settings import load

    where = Locations(load().home)
    kind = read_record(where).get("service", "")
    outdated = everything and kind and service_for(where, kind).install()
    if kind != "docker" and not outdated and restarting.can_restart(where):
        restarting.restart(where, everything=everything)
        return True
    if not stop():
        return False
    start()
    return True
