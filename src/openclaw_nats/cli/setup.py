"""`openclaw-nats setup`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.options import connection_options
from openclaw_nats.cli.output import json_option, line, print_json, step
from openclaw_nats.cli.plugin_wait import wait_for_plugin

_HEALTH_SECONDS = 30.0


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
    from openclaw_nats.installer.docker import DockerCompose
    from openclaw_nats.installer.openclaw import OpenClaw, gateway_answers
    from openclaw_nats.installer.services import WORDS, service_for
    from openclaw_nats.installer.setup import Options, Setup, check_nats

    setup = Setup(OpenClaw.find(), Options(**given))
    # Asked before anything changes: a Gateway of 2026.3 restarts itself when it sees a new plugin.
    was_running = gateway_answers(setup.gateway_url())
    say = (lambda *_: None) if as_json else step
    plan = [(one, one.todo()) for one in setup.steps()]
    service = service_for(setup.where, _kind(setup))
    if isinstance(service, DockerCompose):
        service.required()
    if dry_run:
        for one, todo in plan:
            say("+" if todo else "✓", one.name, todo or one.detail())
        say("·", "Service", f"{'runs' if service.running() else 'will run'} as {WORDS[service.kind]}")
        if as_json:
            steps = [{"step": one.name, "change": todo} for one, todo in plan]
            print_json({"plan": steps, "service": service.kind})
        return
    if any(todo for _, todo in plan) and not yes and not as_json and _interactive():
        for one, todo in plan:
            step("+" if todo else "✓", one.name, todo or one.detail())
        click.confirm("Do this?", default=True, abort=True)
    # The service comes before the plugin, so that the plugin's first events find somebody.
    ours, openclaws = plan[:4], plan[4:]
    changed = _apply([one for one, _ in ours], say)
    if not setup.managed:
        check_nats(setup.settings())
    changed += _run_service(setup, service, say, restart="Settings" in changed)
    changed += _apply([one for one, _ in openclaws], say)
    report = wait_for_plugin(setup, say, was_running=was_running)
    if as_json:
        print_json({"changed": changed, "status": report})
    else:
        line()
        line(
            "Done. `openclaw-nats tail` shows events as they come, `openclaw-nats dashboard` opens the dashboard, and"
            " `openclaw-nats status` tells how everything is."
        )


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
    import sys

    return sys.stdin.isatty() and sys.stdout.isatty()
