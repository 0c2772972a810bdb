"""`openclaw-nats uninstall`."""

from __future__ import annotations

import sys

import click

from openclaw_nats.cli.audited import audited
from openclaw_nats.cli.output import json_option, print_json, step, waiting


@click.command("uninstall")
@click.option("--purge", is_flag=True, help="Delete our state too: events, settings, key.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@json_option
def command(as_json: bool, yes: bool, purge: bool) -> None:
    """Undo setup: the service, the plugin, our entries in OpenClaw's configuration."""
    from openclaw_nats.cli.guarded import undo_left_behind
    from openclaw_nats.contract.command_line import Uninstalled
    from openclaw_nats.errors import SetupError
    from openclaw_nats.installer.openclaw import OpenClaw
    from openclaw_nats.installer.uninstall import uninstall
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import state_dir

    where = Locations(state_dir() / "nats")
    openclaw, missing = None, ""
    try:
        openclaw = OpenClaw.find()
    except SetupError as error:
        missing = f"{error}: only our own parts are removed"
    if not yes and not as_json and sys.stdin.isatty():
        question = f"Remove openclaw-nats from {where.home.parent}"
        click.confirm(question + (", and delete all its events?" if purge else "?"), abort=True)
    undo_left_behind(where, openclaw)
    with (
        audited("uninstall", after={"purge": purge}),
        waiting("removing the service and the plugin; OpenClaw's own commands take some seconds"),
    ):
        done = [*([missing] if missing else []), *uninstall(openclaw, where, purge=purge)]
    if as_json:
        print_json(Uninstalled(done))
    for line in [] if as_json else done:
        step("✓", line)
    if not done and not as_json:
        step("✓", "there was nothing to remove")
