"""The parent's side of the template processes: one for templates that behave, one for those that have run too long."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from typing import Any

import msgspec

from openclaw_nats.errors import Poison

WALL_SECONDS = 10.0
_START_SECONDS = 30.0
_LINE = 1 << 26


class TooLong(Exception):
    """The text is over the limit; with fewer events it may fit."""


class _Worker:
    """One process, started when it is needed, one request at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._lock = asyncio.Lock()

    async def ask(self, request: bytes) -> dict[str, str]:
        """The answer to one request; raise Poison when the process had to be killed."""
        async with self._lock:
            process = await self._running()
            assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  (both are pipes)
            try:
                async with asyncio.timeout(WALL_SECONDS):
                    process.stdin.write(request + b"\n")
                    await process.stdin.drain()
                    line = await process.stdout.readline()
                found: dict[str, str] = msgspec.json.decode(line)
            except TimeoutError:
                await self._end()
                raise Poison(f"the template did not end within {WALL_SECONDS:g} s and was stopped") from None
            except (OSError, ValueError):
                await self._end()
                raise Poison("the template's process died: it needed too much memory") from None
            except asyncio.CancelledError:
                await self._end()  # its answer would be taken for the next request's
                raise
            return found

    async def close(self) -> None:
        """Stop the process."""
        await self._end()

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-m", "openclaw_nats.inbound.render_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                limit=_LINE,
                start_new_session=True,
            )
            warm = msgspec.json.encode({"template": "", "variables": [], "limit": 10}) + b"\n"
            assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
            self._process.stdin.write(warm)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_START_SECONDS):
                    await self._process.stdout.readline()
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


class RenderProcesses:
    """Renders templates. A route whose template ran too long once waits behind others like it, not before the rest."""

    def __init__(self) -> None:
        self._fast = _Worker()
        self._slow = _Worker()
        self._slow_routes: dict[int, str] = {}

    async def render(self, route_id: int, template: str, variables: list[dict[str, Any]], limit: int) -> str:
        """The texts for the sets of variables, joined; raise Poison with what is wrong, or TooLong."""
        worker = self._slow if self._slow_routes.get(route_id) == template else self._fast
        try:
            found = await worker.ask(
                msgspec.json.encode({"template": template, "variables": variables, "limit": limit})
            )
        except Poison:
            self._slow_routes[route_id] = template
            raise
        if "text" in found:
            return found["text"]
        if found["error"] == "room":
            raise TooLong
        if "longer than" in found["error"]:
            self._slow_routes[route_id] = template
        raise Poison(found["error"])

    async def close(self) -> None:
        """Stop both processes."""
        await self._fast.close()
        await self._slow.close()
