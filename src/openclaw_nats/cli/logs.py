"""`openclaw-nats logs`."""

from __future__ import annotations

import time
from collections.abc import Iterable

import click

from openclaw_nats.cli.log_lines import LogLine, added, newest, parsed
from openclaw_nats.cli.output import Styled, json_option, line, print_json_line
from openclaw_nats.cli.times import moment
from openclaw_nats.errors import OpenClawNatsError

FILES = ("up.log", "nats-server.log", "sidecar.log")


@click.command("logs")
@click.option(
    "--lines", "-n", default=50, show_default=True, type=click.IntRange(0, 100_000), help="Last lines a file."
)
@click.option("--follow", "-f", is_flag=True, help="Print new lines as they come.")
@json_option
def command(as_json: bool, lines: int, follow: bool) -> None:
    """Show the logs of supervisor, nats-server and sidecar, by time. They never hold payloads. --json: NDJSON."""
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    folder = Locations(load().home).logs
    files = [folder / name for name in FILES]
    if not any(file.exists() for file in files):
        raise OpenClawNatsError(f"there are no logs in {folder} yet", hint="`openclaw-nats start` starts the service.")
    found: list[LogLine] = []
    offsets: dict[str, int] = {}
    for file in files:
        texts, offsets[file.stem] = newest(file, lines)
        found += parsed(file.stem, texts)
    last = _show(found, as_json=as_json)
    while follow:
        time.sleep(0.3)
        found = []
        for file in files:
            texts, offsets[file.stem] = added(file, offsets[file.stem])
            found += parsed(file.stem, texts, last[-1].at if last else None)
        last = _show(found, as_json=as_json) or last


def _show(lines: Iterable[LogLine], *, as_json: bool) -> list[LogLine]:
    """Print the lines by time; those of one file stay in their order."""
    from openclaw_nats.contract.command_line import LogEntry

    found = sorted(lines, key=lambda one: one.at)
    for one in found:
        at = moment(one.at.isoformat()) if one.at.timestamp() else "-"
        if as_json:
            print_json_line(LogEntry(one.log, one.text, at))
        else:
            bad = any(word in one.shown[:16] for word in ("error", "critical", "[ERR]", "[FTL]"))
            line(f"{at:20} ", Styled(f"{one.log}:", fg="red" if bad else "cyan"), f" {one.shown}")
    return found
