"""`openclaw-nats up`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from openclaw_nats.cli.options import connection_options
from openclaw_nats.cli.output import json_option, line, print_json_line
from openclaw_nats.cli.times import moment


@click.command("up")
@connection_options
@click.option("--quiet", is_flag=True, help="Print errors only (services use this).")
@json_option
def command(as_json: bool, quiet: bool, **given: Any) -> None:
    """Run nats-server and the sidecar in the foreground until Ctrl-C; restart either when it exits."""
    from openclaw_nats.cli.unfinished import finish_restore
    from openclaw_nats.contract.command_line import UpLine
    from openclaw_nats.installer import config_file, nats_server
    from openclaw_nats.installer.foreground import prepare
    from openclaw_nats.installer.setup import Options
    from openclaw_nats.service.supervisor import Supervisor
    from openclaw_nats.settings import load

    finish_restore()
    changes = prepare(Options(**given))
    home = load().home
    if changes:
        config_file.set_values(home / "config.toml", changes)
    settings = load()
    settings.api_key()
    binary = nats_server.find()[0] if settings.nats.managed else None

    def say(text: str) -> None:
        at = moment(datetime.now(UTC).isoformat())
        if as_json:
            print_json_line(UpLine(time.strftime("%H:%M:%S"), at, text))
        else:
            line(f"{at} {text}", err=True)

    if not quiet:
        say(f"sidecar {settings.sidecar.url}, NATS {settings.nats.url.rpartition('@')[2]}, state {home}")
    if asyncio.run(Supervisor(settings, binary, say).run()):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until the new program has its own handler
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, [sys.executable, "-m", "openclaw_nats", *sys.argv[1:]])  # noqa: S606  (ourselves)
