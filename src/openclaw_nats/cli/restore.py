"""`openclaw-nats restore`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from openclaw_nats.cli.audited import record
from openclaw_nats.cli.output import json_option, line, print_json, step, waiting


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=True))
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@json_option
def command(as_json: bool, file: Path, yes: bool) -> None:
    """Restore a backup. What is there now is moved aside, not deleted."""
    from openclaw_nats.audit.act import Act
    from openclaw_nats.backup.restoring import Restore
    from openclaw_nats.cli.start import start
    from openclaw_nats.cli.stop import stop
    from openclaw_nats.cli.unfinished import finish_restore
    from openclaw_nats.service import logs
    from openclaw_nats.settings import state_dir

    logs.silence()
    home = state_dir() / "nats"
    used = (home / "config.toml").exists() or (home / "sidecar.db").exists()
    finish_restore()
    restore = Restore(file, home, (lambda *_: None) if as_json else (lambda name, text: step("✓", name, text)))
    with restore.staging.open():
        with waiting(f"reading and checking {file.name}"):
            restore.check()
        if used and not yes and not as_json:
            click.confirm(f"Replace what is in {home} by the backup? It is moved aside.", abort=True)
        with waiting("building the new state; the old one still works"):
            restore.build()
        was_running = (home / "config.toml").exists() and stop()
        try:
            with waiting("putting the new state in place"):
                act = Act("restore", str(file.absolute()), after=restore.what)
                number = record(replace(act, stage="begun"), stopped=True)
                before = restore.replace()
            record(replace(act, stage="ended", begun=number, reason=restore.audit_problem), stopped=True)
            if restore.audit_problem:
                step("!", "Audit log", restore.audit_problem, err=True)
            if was_running:
                start()
        except BaseException as error:
            if restore.replaced:
                step("!", "it does not run with the new state: putting the old one back", err=True)
                stop()
                restore.undo()
                record(replace(act, stage="failed", begun=number, reason=str(error)), stopped=True)
            if was_running:
                start()
            raise
    if as_json:
        from openclaw_nats.contract.command_line import Restored

        print_json(Restored(str(home), str(before) if before else None, was_running))
        return
    if before is not None:
        line()
        line(f"What was there before is in {before}; delete it when all is well.")
    line("It runs again." if was_running else "`openclaw-nats setup` (or `start`) goes on from here.")
