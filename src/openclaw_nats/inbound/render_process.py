"""The parent's side of the template processes: one for templates that behave, one for those that have run too long."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any

import msgspec

import openclaw_nats
from openclaw_nats.errors import Poison, Unavailable

WALL_SECONDS = 10.0
_START_SECONDS = 30.0
_LINE = 1 << 26
_TRIES = 2
# Isolated (-I: nothing of the environment or the working directory), with our package from where this process has it.
_START = "import sys; sys.path.append(sys.argv[1]); from openclaw_nats.inbound.render_worker import main; main()"


class TooLong(Exception):
    """The text is over the limit; with fewer events it may fit."""


class _Worker:
    """One process, started when it is needed, one request at a time."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self.last_error = ""

    async def ask(self, request: bytes) -> dict[str, str]:
        """The answer to one request; raise Poison when it killed the process, Unavailable when there is no process."""
        async with self._lock:
            for _ in range(_TRIES):
                process = await self._running()
                try:
                    async with asyncio.timeout(WALL_SECONDS):
                        found: dict[str, str] = msgspec.json.decode(await _exchange(process, request))
                except TimeoutError:
                    await self._end()
                    raise Poison(f"the template did not end within {WALL_SECONDS:g} s and was stopped") from None
                except (OSError, RuntimeError, ValueError):  # it may have died before: a fresh one tells
                    await self._end()
                except asyncio.CancelledError:
                    await self._end()  # its answer would be taken for the next request's
                    raise
                else:
                    return found
            raise Poison("the template's process died of it: it may have needed too much memory")

    async def close(self) -> None:
        """Stop the process."""
        await self._end()

    async def _running(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self.last_error = ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", _START, str(Path(openclaw_nats.__file__).parent.parent)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                limit=_LINE,
                start_new_session=True,
            )
            warm = msgspec.json.encode({"template": "", "variables": [], "limit": 10})
            async with asyncio.timeout(_START_SECONDS):
                with contextlib.suppress(ConnectionError, RuntimeError):  # it was gone before we could write
                    if await _exchange(self._process, warm):
                        return self._process
                reason = f"it ended at once (exit code {await self._process.wait()})"
        except TimeoutError:
            reason = f"it did not answer within {_START_SECONDS:g} s"
        except OSError as error:
            reason = str(error)
        except asyncio.CancelledError:
            await self._end()
            raise
        await self._end()
        self.last_error = f"the process that renders templates can't be started: {reason}"
        raise Unavailable(
            self.last_error, hint="Is there memory, and may more processes be started? It is tried again."
        )

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

    @property
    def last_error(self) -> str:
        """Why no process can be started; empty when one can, as far as is known."""
        return self._fast.last_error or self._slow.last_error

    async def render(self, route_id: int, template: str, variables: list[dict[str, Any]], limit: int) -> str:
        """The texts for the sets of variables, joined; raise Poison with what is wrong, TooLong or Unavailable."""
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


async def _exchange(process: Process, request: bytes) -> bytes:
    """One request and the line that answers it; empty when the process has ended."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  (both are pipes)
    process.stdin.write(request + b"\n")
    await process.stdin.drain()
    return await process.stdout.readline()
