"""`openclaw-nats migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from openclaw_nats.cli.audited import audited
from openclaw_nats.cli.output import json_option, line, print_json, step, table

if TYPE_CHECKING:
    from openclaw_nats.contract.command_line import Migration

_MARKS = {"add": "+", "replace": "±", "same": "=", "skip": "✗"}


@click.command("migrate")
@click.option(
    "--database", type=click.Path(path_type=Path, dir_okay=False), help="Its SQLite file, if it is elsewhere."
)
@click.option("--events/--no-events", default=True, show_default=True, help="Copy the events of its stream, too.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--undo", is_flag=True, help="Undo what `migrate` did.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@json_option
def command(as_json: bool, database: Path | None, events: bool, dry_run: bool, undo: bool, yes: bool) -> None:
    """Take over from @omnixal/openclaw-nats-plugin: routes, cron jobs, timers, pending events, stream."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.contract import command_line as shapes
    from openclaw_nats.errors import SetupError
    from openclaw_nats.installer.openclaw import OpenClaw
    from openclaw_nats.locations import Locations
    from openclaw_nats.migration import adoption, older, streams
    from openclaw_nats.migration.plan import make_plan
    from openclaw_nats.migration.switch import Switch
    from openclaw_nats.service import logs
    from openclaw_nats.settings import load
    from openclaw_nats.storage import older_database

    logs.silence()
    settings, openclaw = load(), OpenClaw.find()
    client = SidecarClient(settings)
    say: Any = (lambda *_: None) if as_json else step
    try:
        found = older.find(openclaw.state_dir, database)
    except SetupError:
        if not undo:
            raise
        found = None

    def call(method: str, path: str, body: Any) -> Any:
        return SidecarClient(load()).call(method, path, body)  # its address and key change on the way

    switch = Switch(Locations(settings.home), found, openclaw, call, say, _restart)
    if undo:
        with audited("migrate.undo", str(found.database) if found is not None else ""):
            left = switch.undo()
        if as_json:
            print_json(shapes.MigrationUndone(True, left))
        for one in left if not as_json else []:
            step("!", "Left", one)
        return
    assert found is not None  # noqa: S101  (without one it was raised above)
    state = older_database.read(found.database)
    plan = make_plan(
        state,
        client.call("GET", "/api/routes")["routes"],
        client.call("GET", "/api/cron")["jobs"],
        client.call("GET", "/api/timers")["timers"],
    )
    theirs = streams.counts(found.nats_url) if found.nats_url not in settings.nats.url.split(",") else None
    report = shapes.Migration(
        database=str(found.database),
        services=older.services(found),
        plugin=older.plugin_is_enabled(openclaw),
        adopts=sorted(adoption.wanted(found, settings)),
        streams=theirs,
        items=[shapes.MigrationItem(one.kind, one.name, one.action, one.why) for one in plan.items],
    )
    if not as_json:
        _show(report, found.nats_url)
    if dry_run:
        if as_json:
            print_json(report)
        return
    if not yes and not as_json:
        click.confirm("Take this over, and switch the older one off?", default=True, abort=True)
    copied = 0
    with audited("migrate", str(found.database)) as act:
        if events and theirs and theirs.get("agent_events"):
            # What others have published there is nobody's word here.
            def of_others(lines: bytes) -> dict[str, Any]:
                return client.post_lines(lines, "?origin=outside")

            copied = streams.copy_events(
                found.nats_url, of_others, lambda seen: say("·", "Events", f"{seen} of {theirs['agent_events']}")
            )
            say("✓", "Events", f"{copied} copied into our stream")
        switch.run(plan)
        act.after = {"items": len(plan.items), "events": copied}
    if as_json:
        report.copied = copied
        print_json(report)
    else:
        line()
        line("Done. `openclaw-nats routes` shows them; `openclaw-nats migrate --undo` undoes it.")


def _restart() -> None:
    from openclaw_nats.cli.start import start
    from openclaw_nats.cli.stop import stop

    stop()
    start()


def _show(report: Migration, nats_url: str) -> None:
    line(f"Found {report.database}")
    if report.services:
        line(f"Running, will be stopped: {', '.join(report.services)}")
    if report.plugin:
        line("Its plugin in OpenClaw will be disabled.")
    if report.adopts:
        words = {"port": "its port", "key": "its API key", "comment_out": "(its default key is commented out in .env)"}
        line(f"Our sidecar takes over {', '.join(words[one] for one in report.adopts)}.")
    if report.streams:
        line(f"Its NATS ({nats_url.rpartition('@')[2]}): " + ", ".join(f"{k} {v}" for k, v in report.streams.items()))
    rows = [[_MARKS[one.action], one.kind, one.name, one.action, one.why] for one in report.items]
    if rows:
        table(["", "WHAT", "NAME", "", "NOTE"], rows, below=["NOTE"])
    else:
        line("It has no routes, jobs, timers or pending events.")
