"""An ICS calendar, at an address or in a file: an event some time before each appointment."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from openclaw_nats.contract.sources import CalendarOptions
from openclaw_nats.errors import WatchFailed, words_for
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.terminal_text import plural
from openclaw_nats.watchers.fetching import MAX_BYTES, Tags, fetch
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.reading import reading
from openclaw_nats.watchers.text import digest
from openclaw_nats.watchers.watch import Watch

_UNTIL = "until"  # the item: up to when appointments were looked at, in Unix seconds
_TOLD = "t:"
_LATEST = 86400.0  # seconds after its begin in which an appointment that was missed is told
_FORGET = 2 * 86400.0
_AHEAD = 120.0
_STEP = 30.0  # the clock may be set meanwhile
_ROUNDS = 16
_ACCEPT = "text/calendar, */*;q=0.5"


class Appointment(msgspec.Struct):
    """One of calendar_text.py: `at` in Unix seconds."""

    at: float
    data: dict[str, str | bool]


class Calendar(msgspec.Struct):
    """What a calendar holds in a span of time."""

    appointments: list[Appointment]
    skipped: list[tuple[str, str]]
    count: int
    next: int = 0  # from where on there was no time for it


async def run(watch: Watch) -> None:
    """Look at it, for ever."""
    options = watch.options(CalendarOptions)
    before, every = seconds_of(options.before), seconds_of(options.every)
    if await watch.begin(options.url or options.path):
        await watch.emit((), {_UNTIL: str(time.time())})
    text, tags = b"", Tags()
    while True:
        text, tags = await _text(watch, text, tags)
        now = time.time()
        found = await _read(watch, text, now - _LATEST, now + before + every + _AHEAD)
        floor = max(float(watch.items.get(_UNTIL, now)), now - _LATEST)
        await watch.emit(*_due(watch, found, before, floor, now, _forgotten(watch, now) | {_UNTIL: str(now)}))
        watch.well(_left_out(found))
        await _until(watch, found, before, floor, time.monotonic() + every)


async def look(watch: Watch) -> str:
    """How many appointments it has, and the next."""
    text, _ = await _text(watch, b"", Tags())
    now = time.time()
    found = await _read(watch, text, now, now + 30 * 86400)
    many = f"{plural(found.count, 'appointment')}, {len(found.appointments)} within 30 days"
    if left_out := _left_out(found):
        many += f"; {left_out}"
    if not found.appointments:
        return many
    first = found.appointments[0].data
    return f"{many}; the next: {first['title']}, {first['start']}"


async def _until(watch: Watch, found: Calendar, before: float, floor: float, end: float) -> None:
    """Tell of what becomes due before the next look."""
    while (left := end - time.monotonic()) > 0:
        now = time.time()
        events, changes = _due(watch, found, before, floor, now, {})
        if events:
            await watch.emit(events, changes)
        coming = [one.at - before - now for one in found.appointments if _item(one, before) not in watch.items]
        await asyncio.sleep(max(0.05, min([left, _STEP, *(one for one in coming if one > 0)])))


def _due(
    watch: Watch, found: Calendar, before: float, floor: float, now: float, changes: dict[str, str | None]
) -> tuple[list[Seen], dict[str, str | None]]:
    """The events of the appointments whose time has come and that nobody was told of."""
    events, told = [], watch.options(CalendarOptions).before
    for one in found.appointments:
        item = _item(one, before)
        if one.at - before <= now and one.at > floor and item not in watch.items:
            data = {**one.data, "before": told, **({"late": True} if one.at < now else {})}
            events.append(Seen("upcoming", item.removeprefix(_TOLD)[:20], data, {item: str(int(one.at))}))
    return events, changes


def _item(one: Appointment, before: float) -> str:
    return _TOLD + digest(str(one.data.get("uid", "")), f"{one.at:.0f}", f"{before:g}")


def _forgotten(watch: Watch, now: float) -> dict[str, str | None]:
    old = now - _FORGET
    return {key: None for key, at in watch.items.items() if key.startswith(_TOLD) and float(at) < old}


async def _read(watch: Watch, text: bytes, since: float, until: float) -> Calendar:
    whole = Calendar([], [], 0)
    async with reading("calendar", "the calendar") as reader:
        for _ in range(_ROUNDS):
            answer = await reader.read(text, since=since, until=until, zone=watch.timezone, begin=whole.next)
            found = msgspec.convert(answer, Calendar)
            whole.appointments += found.appointments
            whole.skipped += found.skipped
            whole.count, whole.next = found.count, found.next
            if not whole.next:
                break
    whole.appointments.sort(key=lambda one: one.at)
    return whole


def _left_out(found: Calendar) -> str:
    if found.next:
        return f"the calendar takes too long to read: {found.count - found.next} appointments are left out"
    if not found.skipped:
        return ""
    uid, why = found.skipped[0]
    return f"{plural(len(found.skipped), 'appointment')} can't be read ({uid}: {why})"


async def _text(watch: Watch, text: bytes, tags: Tags) -> tuple[bytes, Tags]:
    """The calendar as it is now, or as it was when it has not changed."""
    options = watch.options(CalendarOptions)
    if options.url:
        fetched = await fetch(options.url, _ACCEPT, tags, watch.source.options.header, watch.secret)
        return (text, tags) if fetched.body is None else (fetched.body, fetched.tags)
    try:
        return await asyncio.to_thread(_file, Path(options.path)), Tags()
    except OSError as error:
        raise WatchFailed(f"{options.path} can't be read: {error.strerror or words_for(error)}") from None


def _file(path: Path) -> bytes:
    if not path.is_file():  # nothing else ends
        raise WatchFailed(f"{path} is no file")
    with path.open("rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise WatchFailed(f"{path} has more than {MAX_BYTES >> 20} MiB")
    return text
