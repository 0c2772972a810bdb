"""`openclaw-nats logs`."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import click

from openclaw_nats.cli.output import json_option
from openclaw_nats.errors import OpenClawNatsError

MAX_READ = 64 * 1024 * 1024  # bytes of each file, from its end
FILES = ("up.log", "nats-server.log", "sidecar.log")


@click.command("logs")
@click.option(
    "--lines", "-n", default=50, show_default=True, type=click.IntRange(0, 100_000), help="Last lines a file."
)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come.")
@json_option
def command(as_json: bool, lines: int, follow: bool) -> None:
    """Show the logs of supervisor, nats-server and sidecar. They never hold payloads. --json: one object a line."""
    from openclaw_nats.service.locations import Locations
    from openclaw_nats.settings import load

    folder = Locations(load().home).logs
    files = [folder / name for name in FILES if (folder / name).exists()]
    if not files:
        raise OpenClawNatsError(f"there are no logs in {folder} yet", hint="`openclaw-nats start` starts the service.")
    offsets = {file: _show_last(file, lines, as_json=as_json) for file in files}
    while follow:
        time.sleep(0.3)
        for file in files:
            offsets[file] = _show_from(file, offsets[file], as_json=as_json)


def _show_last(file: Path, lines: int, *, as_json: bool) -> int:
    from openclaw_nats.dashboard.sidecar_log import backwards

    end = file.stat().st_size
    for line in reversed(list(itertools.islice(backwards(file, MAX_READ, end), lines))):
        _show(file, line.decode("utf-8", "replace"), as_json=as_json)
    return end


def _show_from(file: Path, offset: int, *, as_json: bool) -> int:
    if file.stat().st_size < offset:
        offset = 0  # it was rotated
    with file.open(errors="replace") as text:
        text.seek(offset)
        for line in text.readlines():
            _show(file, line, as_json=as_json)
        return text.tell()


def _show(file: Path, line: str, *, as_json: bool) -> None:
    text = line.rstrip()
    click.echo(json.dumps({"log": file.stem, "line": text}) if as_json else f"{file.stem}: {text}")
