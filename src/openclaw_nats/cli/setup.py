"""`openclaw-nats setup`."""

from __future__ import annotations

import sys
from typing import Any

import click

from openclaw_nats.cli.audited import record
from openclaw_nats.cli.guarded import undo_left_behind, undone_on_failure
from openclaw_nats.cli.options import connection_options
from openclaw_nats.cli.output import json_option, line, print_json, step, waiting
from openclaw_nats.cli.plugin_wait import wait_for_plugin

_HEALTH_SECONDS = 30.0
_BUSY_SECONDS = 10.0  # a Gateway that has just been started may be slow to answer; one that is silent is there


@click.command("setup")
@connection_options
@click.option(
    "--runtime",
    type=click.Choice(["local", "docker"]),
    help="docker: nats-server and sidecar in containers. Default: local, by systemd, launchd, or a background process.",
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@click.option("--dry-run", is_flag=True, help="Print the plan and change nothing.")
@json_option
def command(as_json: bool, yes: bool, dry_run: bool, **given: Any) -> None:
    """Set everything up: NATS, the sidecar, the plugin, the service. Running it again changes nothing that is right."""
    from openclaw_nats.audit.act import Act
    from openclaw_nats.cli.unfinished import finish_restore
    from openclaw_nats.contract import command_line as shapes
    from openclaw_nats.installer import preflight
    from openclaw_nats.installer.docker import DockerCompose
    from openclaw_nats.installer.openclaw import OpenClaw, gateway_state
    from openclaw_nats.installer.services import WORDS, service_for
    from openclaw_nats.installer.setup import Options, Setup
    from openclaw_nats.locations import Locations

    say = (lambda *_: None) if as_json else step
    openclaw = OpenClaw.find()
    preflight.check_node(openclaw)
    where = Locations(openclaw.state_dir / "nats")
    if not dry_run:
        finish_restore()
        undo_left_behind(where, openclaw)
    elif where.undo.exists():
        say("!", "Setup", "an earlier one was interrupted: undoing what it did first")
    with waiting("looking at OpenClaw, the ports and NATS", quiet=as_json):
        setup = Setup(openclaw, Options(**given))
        # Asked before anything changes: a Gateway of 2026.3 restarts itself when it sees a new plugin.
        was_running = gateway_state(setup.gateway_url(), _BUSY_SECONDS) != "away"
        plan = [(one, one.todo()) for one in setup.steps()]
        service = service_for(where, _kind(setup))
        problems = preflight.problems(setup, service.kind)
    if isinstance(service, DockerCompose):
        service.required()
    running = service.running()
    if dry_run:
        _show(plan, say, problems)
        say("·", "Service", f"{'runs' if running else 'will run'} as {WORDS[service.kind]}")
        if as_json:
            steps = [shapes.PlannedStep(one.name, todo) for one, todo in plan]
            found = [shapes.PlanProblem(one.step, one.text, one.hint) for one in problems]
            print_json(shapes.SetupPlan(steps, service.kind, setup.notes(), found))
            if problems:
                sys.exit(1)
            return
        _notes(setup, say)
        preflight.refuse(problems)
        return
    preflight.refuse(problems)
    if any(todo for _, todo in plan) and not yes and not as_json and _interactive():
        _show(plan, step, [])
        click.confirm("Do this?", default=True, abort=True)
    noted = str(setup.record.get("service", ""))
    begun = any(todo for _, todo in plan)
    number = record(Act("setup", stage="begun", after=[one.name for one, todo in plan if todo])) if begun else 0
    with undone_on_failure(where, openclaw, service, noted, running=running):
        # The service comes before the plugin, so that the plugin's first events find somebody.
        ours, openclaws = plan[:4], plan[4:]
        if any(one.name == "Plugin" and todo for one, todo in plan):
            openclaw.look_ahead("plugins", "install")
        changed = _apply([one for one, _ in ours], say)
        with waiting("starting nats-server and the sidecar, and waiting until events can be stored", quiet=as_json):
            changed += _run_service(setup, service, say, restart="Settings" in changed)
        changed += _apply([one for one, _ in openclaws], say)
        with waiting("waiting until the Gateway has loaded the plugin", quiet=as_json):
            report = wait_for_plugin(setup, say, was_running=was_running)
    if changed:
        record(Act("setup", stage="ended", begun=number, after=changed))
    _notes(setup, say)
    if as_json:
        print_json(shapes.SetupDone(changed, report))
    else:
        line()
        line(
            "Done. `openclaw-nats tail` shows events as they come, `openclaw-nats dashboard` opens the dashboard, and"
            " `openclaw-nats status` shows every part."
        )


def _show(plan: Any, say: Any, problems: Any) -> None:
    """The plan: what is right, what would change, what is in the way."""
    for one, todo in plan:
        say("+" if todo else "✓", one.name, todo or one.detail())
        for problem in problems:
            if problem.step == one.name:
                say("✗", one.name, problem.text)


def _notes(setup: Any, say: Any) -> None:
    """Variables of other programs that are set here, and what was done about them."""
    for note in setup.notes():
        say("!", "Settings", note)


def _apply(steps: Any, say: Any) -> list[str]:
    changed = []
    for one in steps:
        todo = one.todo()  # asked again: an earlier step may have settled it
        if todo:
            say("+", one.name, todo)
            one.apply()
            changed.append(one.name)
        say("✓", one.name, one.detail())
    return changed


def _run_service(setup: Any, service: Any, say: Any, *, restart: bool) -> list[str]:
    from openclaw_nats import __version__
    from openclaw_nats.cli.health import running_version, wait_until_up
    from openclaw_nats.installer.services import WORDS, service_for

    if (noted := setup.record.get("service")) and noted != service.kind:
        service_for(setup.where, noted).remove()
    written = service.install()
    running = service.running()
    version = running_version(setup.settings()) if running else ""
    other = version not in ("", __version__)
    changed = ["Service"] if written or other or setup.record.get("service") != service.kind else []
    setup.remember_service(service.kind)
    if running and (restart or written or other):
        if other:
            say("+", "Service", f"restart: {version} runs, and this is {__version__}")
        service.stop()
    if not service.running():
        service.start()
    wait_until_up(setup.settings(), _HEALTH_SECONDS)
    say("✓", "Service", f"runs as {WORDS[service.kind]}")
    return changed


def _kind(setup: Any) -> str:
    """The kind of service to use: what was asked for, else what was noted, else what this machine has."""
    noted = str(setup.record.get("service", ""))
    if setup.options.runtime == "docker":
        return "docker"
    return "" if setup.options.runtime == "local" and noted == "docker" else noted


def _interactive() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
