"""`openclaw-nats keys`: limited keys. They live in a file, so that they can be made and revoked whatever runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, line, print_json, step, table
from openclaw_nats.cli.secret_file import kept
from openclaw_nats.cli.times import moment
from openclaw_nats.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from openclaw_nats.contract.keys import LimitedKey
    from openclaw_nats.keys.file import KeyFile

_LAST = 253_402_300_799.0  # the end of the year 9999
_file_option = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the key here (0600), do not print it; a password for MQTT into the same name with .mqtt.",
)


@click.group("keys", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, *, as_json: bool) -> None:
    """List limited keys: each may publish and read on some subjects."""
    if context.invoked_subcommand is None:
        _listed(as_json=as_json)


@command.command("list")
@json_option
def list_command(*, as_json: bool) -> None:
    """List limited keys."""
    _listed(as_json=as_json)


@command.command("add")
@click.argument("name")
@click.option("--publish", multiple=True, metavar="PATTERN", help="It may publish there. May be given more than once.")
@click.option(
    "--read", multiple=True, metavar="PATTERN", help="It may read what is there. May be given more than once."
)
@click.option("--expires", metavar="WHEN", help="It ends after 30d …, or at an RFC 3339 time.")
@click.option("--mqtt", is_flag=True, help="It may come by MQTT, too, with a password of its own.")
@click.option(
    "--topic",
    "topics",
    multiple=True,
    metavar="TOPIC",
    help="With --mqtt: a topic apart from events, such as zigbee2mqtt/#, to publish and hear. None of it is stored.",
)
@_file_option
@json_option
def add_command(
    *,
    name: str,
    publish: tuple[str, ...],
    read: tuple[str, ...],
    expires: str | None,
    mqtt: bool,
    topics: tuple[str, ...],
    path: Path | None,
    as_json: bool,
) -> None:
    """Make the key NAME, for a program that may publish or read on some subjects, and nothing else.

    The key is shown once. It is a bearer token for the API and, where NATS is ours, the nkey seed of a NATS user; with
    --mqtt there is a user and a password for MQTT as well.
    """
    from openclaw_nats.cli.audited import audited
    from openclaw_nats.cli.event_lines import full_subject
    from openclaw_nats.contract.keys import LimitedKey
    from openclaw_nats.events.envelope import format_seconds
    from openclaw_nats.keys.making import check_name, check_patterns, new_secret

    refuse_agents("make a key")
    may_publish, may_read = ([str(full_subject(one)) for one in patterns] for patterns in (publish, read))
    check_name(name)
    check_patterns(may_publish, may_read, list(topics))
    _check_mqtt(mqtt=mqtt, topics=bool(topics))
    secret, public = new_secret()
    key = LimitedKey(name, may_publish, may_read, public, format_seconds(time.time()), mqtt=mqtt, topics=list(topics))
    if expires is not None:
        key.expires = format_seconds(_end(expires))
    files = kept(secret, path), kept(_password(key), _mqtt_file(path))
    with audited("keys.add", name, after=_shown(key)), files[0], files[1], _keys().changing() as keys:
        if any(one.name == name for one in keys):
            raise InvalidInput(
                f"there is a key {name} already", hint=f"`openclaw-nats keys rotate {name}` replaces it."
            )
        keys.append(key)
    _made(key, secret, path, as_json=as_json)


@command.command("rotate")
@click.argument("name")
@_file_option
@json_option
def rotate_command(*, name: str, path: Path | None, as_json: bool) -> None:
    """Replace the key NAME by a new one that may do the same; the old one ends at once."""
    from openclaw_nats.cli.audited import audited
    from openclaw_nats.events.envelope import format_seconds
    from openclaw_nats.keys.making import new_secret

    refuse_agents("make a key")
    secret, public = new_secret()
    with audited("keys.rotate", name), contextlib.ExitStack() as files, _keys().changing() as keys:
        key = _named(name, keys)
        key.public, key.made = public, format_seconds(time.time())
        files.enter_context(kept(secret, path))
        files.enter_context(kept(_password(key), _mqtt_file(path)))
    _made(key, secret, path, as_json=as_json)


@command.command("revoke")
@click.argument("name")
@json_option
def revoke_command(*, name: str, as_json: bool) -> None:
    """End the key NAME at once, and what it keeps open."""
    from openclaw_nats.cli.audited import audited
    from openclaw_nats.contract.command_line import Removed

    refuse_agents("revoke a key")
    with audited("keys.revoke", name) as act, _keys().changing() as keys:
        key = _named(name, keys)
        act.before = _shown(key)
        keys.remove(key)
    _tell_containers()
    if as_json:
        print_json(Removed(name))
        return
    step("✓", f"the key {name} has ended; what it published stays")


def _keys() -> KeyFile:
    from openclaw_nats.keys.file import KeyFile
    from openclaw_nats.service.files import write_private
    from openclaw_nats.settings import load

    settings = load()
    settings.api_key()  # raises where nothing is set up
    return KeyFile(settings.home, write_private)


def _named(name: str, keys: list[LimitedKey]) -> LimitedKey:
    from openclaw_nats.suggestions import did_you_mean

    for key in keys:
        if key.name == name:
            return key
    hint = did_you_mean(name, (key.name for key in keys), "`openclaw-nats keys list` shows all.")
    raise NotFound(f"there is no limited key {name[:40]!r}", hint=hint)


def _end(expires: str) -> float:
    """When the key ends, in seconds since the Unix epoch; raise InvalidInput for what is no time to come."""
    from openclaw_nats.events.envelope import parse_time
    from openclaw_nats.settings import parse_duration

    try:
        found = parse_time(expires).timestamp() if "T" in expires.upper() else time.time() + parse_duration(expires)
    except (ValueError, OverflowError):
        text = f"--expires must be a duration such as 30d, or an RFC 3339 time with a zone, not {expires[:40]!r}"
        raise InvalidInput(text) from None
    if not time.time() < found < _LAST:
        raise InvalidInput(f"--expires {expires[:40]} is not a time to come")
    return found


def _check_mqtt(*, mqtt: bool, topics: bool) -> None:
    """Raise InvalidInput for what MQTT can't do here."""
    from openclaw_nats.installer.setup import in_containers
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    if topics and not mqtt:
        raise InvalidInput("--topic is for keys that come by MQTT", hint="Add --mqtt.")
    settings = load()
    if mqtt and not settings.nats.managed and not in_containers(Locations(settings.home)):
        raise InvalidInput(
            "this NATS is not ours: its own configuration says who comes by MQTT", hint="Make the user there."
        )


def _password(key: LimitedKey) -> str:
    """The key's password for MQTT; empty for a key that does not come by it."""
    from openclaw_nats.mqtt.users import user_of
    from openclaw_nats.service.identity_key import identity_key
    from openclaw_nats.settings import load

    return user_of(key, identity_key(load().home)).password if key.mqtt else ""


def _mqtt_file(path: Path | None) -> Path | None:
    """The file for the password for MQTT, next to that of the key."""
    return path and path.with_name(f"{path.name}.mqtt")


def _made(key: LimitedKey, secret: str, path: Path | None, *, as_json: bool) -> None:
    from openclaw_nats.contract.command_line import LimitedKeyMade, MqttUserMade
    from openclaw_nats.mqtt.users import PREFIX
    from openclaw_nats.settings import load

    _tell_containers()
    settings = load()
    if as_json:
        made = LimitedKeyMade(
            key.name,
            key.publish,
            key.read,
            key.made,
            "" if path else secret,
            str(path or ""),
            key.public,
            key.expires,
            key.topics,
        )
        if key.mqtt:
            password = "" if path else _password(key)
            made.mqtt = MqttUserMade(f"{PREFIX}{key.name}", password, str(_mqtt_file(path) or ""))
        print_json(made)
        return
    step("✓", f"the key {key.name} may {_rights(key)}")
    if path is None:
        line()
        line(f"  {secret}")
        line()
        line("This is shown once. Who has it may do that and nothing else.")
    else:
        step("✓", f"it is in {path}, for you only")
    line(f"Its public half, for a receiver's nats-server: {key.public}")
    line(f"Over HTTP: {settings.sidecar.url}, header 'Authorization: Bearer <the key>'")
    if settings.nats.managed and key.read:
        line(f"Over NATS, to hear what comes: {settings.nats.url}, as the seed of an nkey")
    elif not settings.nats.managed:
        line("Not over NATS: that server is not ours, and its own configuration says who may do what there")
    if key.mqtt:
        where = "in " + str(_mqtt_file(path)) if path else _password(key)
        line(f"By MQTT (3.1.1): user {PREFIX}{key.name}, password {where}")
        if settings.mqtt.port:
            line(f"  at {settings.mqtt.host} port {settings.mqtt.port}")
        else:
            line("  MQTT is off: `openclaw-nats setup --mqtt-port 1883` turns it on")


def _tell_containers() -> None:
    """nats-server in a container is told by Docker; elsewhere `up` notices by itself."""
    from openclaw_nats.installer.docker import DockerCompose
    from openclaw_nats.installer.setup import in_containers
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    settings = load()
    where = Locations(settings.home)
    if in_containers(where) and settings.nats.managed:
        DockerCompose(where).reload_nats()


def _shown(key: LimitedKey) -> dict[str, object]:
    shown: dict[str, object] = {"publish": key.publish, "read": key.read, "expires": key.expires or ""}
    return {**shown, "mqtt": True, "topics": key.topics} if key.mqtt else shown


def _rights(key: LimitedKey) -> str:
    parts = [f"publish on {', '.join(key.publish)}"] if key.publish else []
    parts += [f"read {', '.join(key.read)}"] if key.read else []
    parts += [f"use {', '.join(key.topics)} by MQTT"] if key.topics else []
    return " and ".join(parts) + (f" until {moment(key.expires)}" if key.expires else "")


def _listed(*, as_json: bool) -> None:
    from openclaw_nats.contract.command_line import ListedKey, ListedKeys
    from openclaw_nats.keys.making import is_over

    now = time.time()
    keys = [
        ListedKey(key.name, key.publish, key.read, key.made, is_over(key, now), key.expires, key.mqtt, key.topics)
        for key in _keys().read()
    ]
    if as_json:
        print_json(ListedKeys(keys))
        return
    if not keys:
        line("No limited keys. `openclaw-nats keys add NAME --publish PATTERN` makes one.")
        return
    rows = [
        [
            one.name,
            ", ".join(one.publish) or "-",
            ", ".join(one.read) or "-",
            ", ".join(["yes", *one.topics]) if one.mqtt else "-",
            moment(one.made),
            ("expired " if one.expired else "") + (moment(one.expires) if one.expires else "never"),
        ]
        for one in keys
    ]
    table(["NAME", "PUBLISHES", "READS", "MQTT", "MADE", "ENDS"], rows)
