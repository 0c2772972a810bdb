"""`openclaw-nats logs`."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

import click

from openclaw_nats.errors import OpenClawNatsError

FILES = ("up.log", "nats-server.log", "sidecar.log")


@click.command("logs")
@click.option(
    "--lines", "-n", default=50, show_default=True, type=click.IntRange(0, 100_000), help="Last lines a file."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
def command(lines: int, follow: bool) -> None:
    """Show the logs of supervisor, nats-server and sidecar. They never hold payloads."""
    from openclaw_nats.service.locations import Locations
    from openclaw_nats.settings import load

    folder = Locations(load().home).logs
    files = [folder / name for name in FILES if (folder / name).exists()]
    if not files:
        raise OpenClawNatsError(f"there are no logs in {folder} yet", hint="`openclaw-nats start` starts the service.")
    offsets = {file: _show_last(file, lines) for file in files}
    while follow:
        time.sleep(0.3)
        for file in files:
            offsets[file] = _show_from(file, offsets[file])


def _show_last(file: Path, lines: int) -> int:
    with file.open(errors="replace") as text:
        for line in deque(text, maxlen=lines):
            click.echo(f"{file.stem}: {line.rstrip()}")
        return text.tell()


def _show_from(file: Path, offset: int) -> int:
    if file.stat().st_size < offset:
        offset = 0  # it was rotated
    with file.open(errors="replace") as text:
        text.seek(offset)
        for line in text.readlines():
            click.echo(f"{file.stem}: {line.rstrip()}")
        return text.tell()
