"""`openclaw-nats backup`."""

from __future__ import annotations

from pathlib import Path

import click

from openclaw_nats.cli.audited import audited
from openclaw_nats.cli.output import json_option, line, print_json, step


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def command(as_json: bool, file: Path) -> None:
    """Write everything into FILE while it runs: streams, inbox, settings, keys. Keep it like a key."""
    from openclaw_nats.backup.work import make
    from openclaw_nats.contract.command_line import BackupMade
    from openclaw_nats.service import logs
    from openclaw_nats.settings import load

    logs.silence()
    settings = load()
    settings.api_key()  # before setup there is nothing to back up
    say = (lambda *_: None) if as_json else (lambda name, text: step("✓", name, text))
    with audited("backup", str(file.absolute())):
        size = make(settings, file.absolute(), say)
    if as_json:
        print_json(BackupMade(str(file.absolute()), size))
    else:
        line()
        line(f"{file}: {size / 2**20:.1f} MiB, for you only: it holds keys and conversations.")
