"""NATS: can we sign in, does JetStream have room and keep what it acknowledges, are streams and consumer right."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.doctor.former_names import former_names
from openclaw_nats.errors import OpenClawNatsError, Unavailable
from openclaw_nats.events.subjects import EVERYTHING
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.gateway_names import consumer_name
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.servers import Servers
from openclaw_nats.jetstream.stream_clock import StreamClock, apart_text
from openclaw_nats.jetstream.stream_settings import limits
from openclaw_nats.jetstream.streams import DEAD_LETTERS, EVENTS, SCHEDULES, schedules_problem
from openclaw_nats.locations import Locations
from openclaw_nats.settings import Settings

_FULL = 0.9
_PERMISSIONS = "Check nats.user and nats.password_file (or the credentials or nkey), and what that user may do."


def nats(settings: Settings) -> Iterator[Finding]:
    """Ask the server itself, with our own credentials."""
    try:
        yield from asyncio.run(_look(settings))
    except Unavailable as error:
        yield _unreachable(settings, str(error))
    except OpenClawNatsError as error:
        yield problem("nats", str(error), error.hint or _PERMISSIONS)


async def _look(settings: Settings) -> list[Finding]:
    async with connected(Options.from_settings(settings)) as connection:
        found = [ok("nats", f"nats-server {connection.server_version} at {connection.shown} accepts our sign-in")]
        servers = Servers(connection)
        await servers.look()
        if text := schedules_problem(servers.oldest):
            found.append(note("nats", text, "Update nats-server; everything but cron and timers works meanwhile."))
        if len(servers.versions) > 1:
            shown = "; ".join(f"{version}: {', '.join(names)}" for version, names in servers.versions.items())
            found.append(note("nats", f"the servers of this cluster differ ({shown})", "Update the older ones."))
        found += await _jetstream(connection)
        found += _durability(settings)
        found += await _streams(connection, settings, schedules=not schedules_problem(servers.oldest))
        found += await former_names(connection, settings)
        return found


def _unreachable(settings: Settings, error: str) -> Finding:
    if "uthorization" in error:
        return problem("nats", f"NATS refuses our sign-in: {error}", _PERMISSIONS)
    start = "Run `openclaw-nats start`." if settings.nats.managed else "Start it, or run `setup --nats-url` again."
    return problem("nats", error, start)


async def _jetstream(connection: Connection) -> list[Finding]:
    answer = await connection.api("INFO")
    if "error" in answer:
        text = answer["error"].get("description", "unknown error")
        return [
            problem("jetstream", f"JetStream is not available: {text}", "Turn it on in nats-server's configuration.")
        ]
    limits, used = answer.get("limits", {}), answer.get("storage", 0)
    most = limits.get("max_storage", -1)
    if most > 0 and used > most * _FULL:
        return [
            problem(
                "jetstream",
                f"{used / 2**20:.0f} of {most / 2**20:.0f} MiB that JetStream may use are used",
                "Raise the account's limit, or keep less (stream.max_age, stream.max_bytes).",
            )
        ]
    room = f"of {most / 2**30:.1f} GiB" if most > 0 else "without a limit"
    return [ok("jetstream", f"{used / 2**20:.1f} MiB are used, {room}")]


def _durability(settings: Settings) -> list[Finding]:
    if not settings.nats.managed:
        text = "whether this NATS writes each event to disk before it acknowledges it can't be seen from here"
        return [note("sync_interval", text, "Set `sync_interval: always` in its jetstream block.")]
    path = Locations(settings.home).own_nats_config
    text = path.read_text() if path is not None else ""
    match = re.search(r"sync_interval:\s*(\w+)", text)
    if match and match[1] == "always":
        return [ok("sync_interval", "every acknowledged event is on disk")]
    fix = "Run `openclaw-nats config set durability always`, unless you chose speed."
    return [note("sync_interval", f"an acknowledged event is on disk after {match[1] if match else '2m'}", fix)]


async def _streams(connection: Connection, settings: Settings, *, schedules: bool) -> list[Finding]:
    found: list[Finding] = []
    for name in (EVENTS, DEAD_LETTERS, SCHEDULES):
        if name == SCHEDULES and not schedules:
            continue
        clock = StreamClock()
        asked = clock.asked()
        answer = await connection.api(f"STREAM.INFO.{name}")
        if "error" in answer:
            text = f"stream {name}: {answer['error'].get('description', 'unknown error')}"
            found.append(problem("streams", text, "The sidecar makes it: `openclaw-nats restart`."))
            continue
        found.append(_stream(name, answer, settings))
        if name == EVENTS:
            clock.heard(answer, asked)
            found += _server_clock(clock)
    return found + await _consumer(connection, settings)


def _stream(name: str, answer: dict[str, Any], settings: Settings) -> Finding:
    config, state = answer["config"], answer["state"]
    wrong = []
    if config.get("storage") != "file":
        wrong.append("it keeps its messages in memory")
    if config.get("retention") != "limits":
        wrong.append(f"its retention is {config.get('retention')}")
    if name == EVENTS and not {EVERYTHING, ">"} & set(config.get("subjects", [])):
        wrong.append(f"it does not take {EVERYTHING}")
    if name == EVENTS and config.get("duplicate_window", 0) < limits(settings)["duplicate_window"]:
        wrong.append("its duplicate window is shorter than stream.duplicate_window")
    if wrong:
        fix = "Restart openclaw-nats, which widens it; what it may not change, change with `nats stream edit`."
        return problem("streams", f"stream {name}: {', '.join(wrong)}", fix)
    return ok("streams", f"{name}: {state['messages']} messages, {state['bytes'] / 2**20:.1f} MiB")


def _server_clock(clock: StreamClock) -> list[Finding]:
    if not clock.known:
        return []
    if not clock.apart:
        return [ok("clock", "this machine and NATS agree on the time")]
    text, _, fix = apart_text(clock.offset).partition(". ")
    return [problem("clock", text, f"{fix}.")]


async def _consumer(connection: Connection, settings: Settings) -> list[Finding]:
    name = consumer_name(settings.gateway_id)
    answer = await connection.api(f"CONSUMER.INFO.{EVENTS}.{name}")
    if "error" in answer:
        if answer["error"].get("code") == 404:
            return [ok("consumer", "there is none, as long as no route is enabled")]
        raise Unavailable(f"consumer {name}: {answer['error'].get('description', 'unknown error')}")
    behind = answer.get("num_pending", 0)
    filters = answer["config"].get("filter_subjects") or [answer["config"].get("filter_subject", "")]
    if behind > 10_000:
        return [note("consumer", f"{behind} events of the stream have not been looked at by the routes yet")]
    return [ok("consumer", f"{name} takes {', '.join(filters)[:200]}, {behind} events to go")]
