"""`openclaw-nats config`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, print_json, step, table


@click.group("config", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show or change settings."""
    if context.invoked_subcommand is None:
        _show(as_json=as_json)


@command.command("set")
@click.argument("name")
@click.argument("value")
@json_option
def set_command(as_json: bool, name: str, value: str) -> None:
    """Set NAME to VALUE in config.toml, and restart the service if it runs."""
    from openclaw_nats.cli.start import start
    from openclaw_nats.cli.stop import stop
    from openclaw_nats.installer import config_file
    from openclaw_nats.settings import load

    values = {name: value}
    if name == "sidecar.port":
        values["sidecar.url"] = f"http://127.0.0.1:{value}"
    changed = config_file.set_values(load().home / "config.toml", values)
    restarted = changed and stop()
    if restarted:
        start()
    if as_json:
        print_json({"name": name, "changed": changed, "restarted": restarted})
    else:
        step("✓", f"{name} is {value}" + (", and the service was restarted" if restarted else ""))


@command.command("get")
@click.argument("name")
@json_option
def get_command(as_json: bool, name: str) -> None:
    """Print one setting."""
    from openclaw_nats.errors import SettingsError
    from openclaw_nats.settings import load, nearest

    settings = load()
    if name not in settings.values:
        raise SettingsError(f"there is no setting {name!r}", hint=nearest(name))
    if as_json:
        print_json({"name": name, "value": settings[name], "from": settings.origins[name]})
    else:
        click.echo(_text(settings.shown(name)))


def _show(*, as_json: bool) -> None:
    from openclaw_nats.settings import REGISTRY, load

    settings = load()
    if as_json:
        print_json({one.name: {"value": settings[one.name], "from": settings.origins[one.name]} for one in REGISTRY})
        return
    rows = [[one.name, _text(settings.shown(one.name)), settings.origins[one.name], one.help] for one in REGISTRY]
    table(["setting", "value", "from", "meaning"], rows)


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_text(item) for item in value) or "(none)"
    return str(value) if value != "" else "(empty)"
