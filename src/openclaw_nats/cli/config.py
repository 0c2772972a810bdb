"""`openclaw-nats config`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from openclaw_nats.cli.audited import audited
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import complete_setting
from openclaw_nats.cli.output import json_option, line, print_json, step, table
from openclaw_nats.url_secrets import masked_value

if TYPE_CHECKING:
    from openclaw_nats.settings import Settings

_ADOPTED = "stream.change_adopted"


@click.group("config", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Show or change settings."""
    if context.invoked_subcommand is None:
        _show(as_json=as_json)


@command.command("set")
@click.argument("name", shell_complete=complete_setting)
@click.argument("value")
@click.option("--adopted", is_flag=True, help="For stream.*: also change a stream that somebody else made.")
@json_option
def set_command(as_json: bool, adopted: bool, name: str, value: str) -> None:
    """Set NAME to VALUE in config.toml, and restart the sidecar if it runs. Exit code 1: it is not in effect."""
    from openclaw_nats.cli.agents import refuse_agents
    from openclaw_nats.contract.command_line import SettingChanged
    from openclaw_nats.installer import config_file
    from openclaw_nats.settings import find, load, shown

    refuse_agents("change a setting")
    settings = load()
    values = {name: value}
    if name == "sidecar.port":
        values["sidecar.url"] = f"http://127.0.0.1:{value}"
    if adopted:
        values[_ADOPTED] = "true"
    if name == "redaction.patterns":
        from openclaw_nats.outbound.redaction_trial import check_patterns

        check_patterns(load(settings.home, {}, {name: value}).redaction.patterns)
    if name.startswith("sidecar."):
        from openclaw_nats.service.exposure import check_exposed
        from openclaw_nats.service.tls import Certificate

        wanted = load(settings.home, also=values)
        check_exposed(wanted)
        if wanted.sidecar_speaks_tls:
            Certificate.of(wanted)  # raises before anything is written
    if name.startswith(("sidecar.", "mqtt.")):
        _check_mqtt(settings, load(settings.home, also=values), name)
    if name.startswith("receiver."):
        from openclaw_nats.service.receiver_link import check_receiver

        check_receiver(load(settings.home, also=values))
    with audited("config.set", name, masked_value(shown(settings, name))) as act:
        changed = config_file.set_values(settings.home / "config.toml", values)
        act.after = masked_value(value)
    if not as_json:
        step("✓", f"{name} is {masked_value(value)}" + ("" if changed else " already"))
    report = _restarted(as_json=as_json) if changed else None
    problems = _not_in_effect(name, report)
    if as_json:
        print_json(
            SettingChanged(
                name=name,
                changed=changed,
                restarted=report is not None,
                applies=find(name).applies,
                problems=problems,
            )
        )
    else:
        if report is not None:
            step("✓", "openclaw-nats runs with it")
        elif changed:
            line(f"It applies {find(name).applies}.")
        if name.startswith("sidecar.tls_") and (missing := load().half_of_tls):
            line(f"The sidecar speaks TLS once {missing} is set, too.")
        for problem in problems:
            step("!", problem)
        if any(_ADOPTED in problem for problem in problems):
            line(f"`openclaw-nats config set {name} {value} --adopted` changes that stream, too.")
    if problems:
        sys.exit(1)


def _check_mqtt(now: Settings, wanted: Settings, name: str) -> None:
    """Raise what is in the way of MQTT as it would be, before anything is written."""
    from openclaw_nats import port_holder
    from openclaw_nats.errors import InvalidInput
    from openclaw_nats.installer.setup import NO_MQTT, NO_MQTT_HINT
    from openclaw_nats.service.exposure import check_mqtt

    if not wanted.nats.managed:
        if name == "mqtt.port" and wanted.mqtt.port:
            raise InvalidInput(NO_MQTT, hint=NO_MQTT_HINT)
        return
    check_mqtt(wanted)
    port = wanted.mqtt.port
    if port and port != now.mqtt.port and not port_holder.is_free(port):
        raise InvalidInput(f"port {port} is held by {port_holder.holder(port)}", hint="1883 is usual for MQTT.")


def _restarted(*, as_json: bool) -> dict[str, Any] | None:
    """Have what runs take up the settings; its health report, None when nothing runs."""
    from openclaw_nats.cli.health import wait_until_up
    from openclaw_nats.cli.restart import restart_running
    from openclaw_nats.settings import load

    if not as_json and sys.stdout.isatty():
        step("+", "restarting what the change affects")
    if not restart_running(everything=False):
        return None
    return wait_until_up(load(), 30)


def _not_in_effect(name: str, report: dict[str, Any] | None) -> list[str]:
    """Why a setting that was just saved does nothing: the environment beats it, or the stream is not ours."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.installer.setup import in_containers
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    settings = load()
    origin = settings.origins[name]
    if report is not None:
        shown = SidecarClient(settings).call("GET", "/api/settings", timeout=5)["settings"]
        origin = next((one["from"] for one in shown if one["name"] == name), origin)
    problems = []
    # Containers get some settings by their environment, made from config.toml.
    given = origin not in (str(settings.home / "config.toml"), "default")
    if given and not in_containers(Locations(settings.home)):
        problems.append(f"{origin} in the environment overrides config.toml: {name} keeps that value")
    notes = report["nats"].get("notes", []) if report else []
    return problems + [note for note in notes if note.startswith(f"{name} ")]


@command.command("get")
@click.argument("name", shell_complete=complete_setting)
@json_option
def get_command(as_json: bool, name: str) -> None:
    """Print one setting, and when a change of it applies."""
    from openclaw_nats.contract.command_line import SettingValue
    from openclaw_nats.settings import find, load, shown, value_of

    settings = load()
    applies = find(name).applies
    if as_json:
        value = value_of(settings, name)
        print_json(SettingValue(name, value, settings.origins[name], applies))
        return
    line(_text(shown(settings, name)))
    if sys.stdout.isatty():
        line(f"A change applies {applies}.", err=True)


def _show(*, as_json: bool) -> None:
    from openclaw_nats.contract.command_line import ListedSetting
    from openclaw_nats.settings import REGISTRY, load, shown, value_of

    settings = load()
    if as_json:
        found = {
            one.name: ListedSetting(
                value=masked_value(value_of(settings, one.name)),
                origin=settings.origins[one.name],
                applies=one.applies,
            )
            for one in REGISTRY
        }
        print_json(found)
        return
    rows = []
    for one in REGISTRY:
        value = _text(masked_value(shown(settings, one.name)))
        rows.append([one.name, value, settings.origins[one.name], one.help, one.applies])
    table(
        ["setting", "value", "from", "meaning", "a change applies"], rows, below=["from", "meaning", "a change applies"]
    )


def _text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(_text(item) for item in value) or "(none)"
    return str(value) if value != "" else "(empty)"
