"""A program that is run: each line of its output is an event, and so is its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats.contract.sources import CommandOptions
from openclaw_nats.errors import WatchFailed
from openclaw_nats.events.ids import uuid7
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.terminal_text import plural
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.text import shortened
from openclaw_nats.watchers.watch import Watch

MAX_LINE = 16 << 10  # bytes
LINES_PER_SECOND = 100.0
BURST = 1000.0
_RUN = "run"
_REASON = "reason"  # why it failed, if it has
_ENDED = "ended"  # when the last run has, in seconds since the Unix epoch
_CHUNK = 64 << 10
_MOST_AT_ONCE = 200
_ERRORS = 2000  # characters of standard error that are kept
_WELL_SECONDS = 10.0
_LOOK_SECONDS = 5.0
_END_SECONDS = 5.0
_KEEPER = Path(__file__).with_name("command_keeper.py")
# What a program is given of our environment: nothing that may be a secret.
_PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


@dataclass
class Lines:
    """Bytes of a program's output, cut into lines: without the end of a line that is too long, and without empty ones.

    `number` counts all.
    """

    number: int = 0
    _rest: bytearray = field(default_factory=bytearray)
    _too_long: bool = False

    def feed(self, chunk: bytes) -> list[dict[str, Any]]:
        """The lines that are complete now, as an event has them."""
        found = []
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._add(part)
            found += self._end()
        self._add(rest)
        return found

    def last(self) -> list[dict[str, Any]]:
        """What stands behind the last line's end."""
        return self._end() if self._rest else []

    def _add(self, part: bytes) -> None:
        room = MAX_LINE - len(self._rest)
        self._too_long = self._too_long or len(part) > room
        self._rest += part[:room]

    def _end(self) -> list[dict[str, Any]]:
        self.number += 1
        text = bytes(self._rest).decode("utf-8", "ignore" if self._too_long else "replace").rstrip("\r")
        found: dict[str, Any] = {"line": text, "number": self.number}
        if self._too_long:
            found["truncated"] = True
        self._rest, self._too_long = bytearray(), False
        return [found] if text.strip() else []


async def run(watch: Watch) -> None:
    """Run it, again and again."""
    options = watch.options(CommandOptions)
    await watch.begin("\0".join(options.command))
    if last := watch.items.get(_RUN):
        data = {"run": last, "code": None, "reason": "the sidecar ended while it ran"}
        await watch.emit([Seen("exited", last, data)], {_RUN: None, _ENDED: None, _REASON: None})
    every = seconds_of(options.every)
    if 0 < (left := float(watch.items.get(_ENDED) or 0) + every - time.time()) <= every:
        # A restart is no reason to run it again, and none to call it well.
        if reason := watch.items.get(_REASON):
            raise WatchFailed(reason, retry_after=left)
        watch.well("")
        await asyncio.sleep(left)
    while True:
        if reason := await _once(watch, options):
            raise WatchFailed(reason, retry_after=every)
        watch.well("")
        await asyncio.sleep(every)


async def look(watch: Watch) -> str:
    """Run it for a moment: how it began, and ended."""
    options = watch.options(CommandOptions)
    lines, found, code = Lines(), list[dict[str, Any]](), None
    async with _started(options) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
        errors = bytearray()
        reading = asyncio.create_task(_tail(process.stderr, errors), name="command-errors")
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                while len(found) < _MOST_AT_ONCE and (chunk := await process.stdout.read(_CHUNK)):
                    found += lines.feed(chunk)
                if len(found) < _MOST_AT_ONCE:
                    found += lines.last()
                    code = await process.wait()
                    await reading
        except TimeoutError:
            pass
        finally:
            reading.cancel()
    if code:
        said = shortened(errors.decode("utf-8", "replace").strip(), 200)
        raise WatchFailed(f"the command ended with {code}: {said or 'it said nothing'}")
    begin = f", first: {shortened(found[0]['line'], 200)}" if found else ""
    state = "it runs on" if code is None else "it ended with 0"
    return f"{plural(len(found), 'line')}{begin}; {state}"


async def _once(watch: Watch, options: CommandOptions) -> str:
    """One run; why it failed, or nothing."""
    now = time.time()
    number, began = uuid7(int(now * 1000)), time.monotonic()
    await watch.emit((), {_RUN: number})
    lines, allowance = Lines(), _Allowance()
    async with _started(options) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018  (both are pipes)
        errors = bytearray()
        reading = asyncio.create_task(_tail(process.stderr, errors), name="command-errors")
        well = asyncio.get_running_loop().call_later(_WELL_SECONDS, watch.well, "")
        try:
            while chunk := await process.stdout.read(_CHUNK):
                await _emit(watch, number, lines.feed(chunk), allowance)
            await _emit(watch, number, lines.last(), allowance)
            code = await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reading, 1.0)
        finally:
            well.cancel()
            reading.cancel()
    said = errors.decode("utf-8", "replace").strip()
    data = {"run": number, "code": code, "lines": lines.number, "seconds": round(time.monotonic() - began, 3)}
    if said:
        data["error"] = shortened(said, _ERRORS)
    reason = f"the command ended with {code}{shortened(f': {said}' if said else '', 200)}" if code else ""
    changes = {_RUN: None, _ENDED: str(time.time()), _REASON: reason or None}
    await watch.emit([Seen("exited", number, data)], changes)
    return reason


async def _emit(watch: Watch, number: str, found: list[dict[str, Any]], allowance: _Allowance) -> None:
    for at in range(0, len(found), _MOST_AT_ONCE):
        part = found[at : at + _MOST_AT_ONCE]
        await watch.emit([Seen("line", f"{number}.{one['number']}", {"run": number, **one}) for one in part])
        await allowance.spend(len(part))  # meanwhile the program waits at a full pipe


async def _tail(stream: asyncio.StreamReader, kept: bytearray) -> None:
    """Read all of it; the end is kept."""
    while chunk := await stream.read(_CHUNK):
        kept += chunk
        del kept[: max(0, len(kept) - _ERRORS)]


class _Allowance:
    """How many lines may be events now."""

    def __init__(self) -> None:
        self._left, self._at = BURST, time.monotonic()

    async def spend(self, count: int) -> None:
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._at) * LINES_PER_SECOND) - count
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / LINES_PER_SECOND)


@contextlib.asynccontextmanager
async def _started(options: CommandOptions) -> AsyncIterator[Process]:
    """The program, below a keeper that ends it when we are gone, and when it is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(_KEEPER), *options.command),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(os.environ),
        cwd=_home(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            _kill(process)
        except asyncio.CancelledError:
            _kill(process)
            raise


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: where programs are, who runs it, which language, and no more."""
    return {name: ours[name] for name in _PASSED_ON if name in ours}


def _home() -> str:
    home = os.path.expanduser("~")
    return home if os.path.isdir(home) else "/"
