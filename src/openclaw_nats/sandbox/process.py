"""The parent's side: a process that is started when it is needed, answers one request at a time, and may be killed."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from pathlib import Path

from openclaw_nats.errors import Poison, Unavailable

WALL_SECONDS = 10.0
_START_SECONDS = 30.0
_LINE = 1 << 26
_TRIES = 2
# Isolated (-I: nothing of the environment or the working directory), with packages from where this process has them.
# They come before what is installed, and behind what belongs to Python, as they do here.
_START = """
import sys
ours = [at for at, path in enumerate(sys.path) if path.endswith("-packages")] or [len(sys.path)]
sys.path[ours[0]:ours[0]] = sys.argv[1:]
from {} import main
main()
"""


class Worker:
    """One process of a `module` with a function `main`. `what` runs there, in words for people: "the template".

    `warm` is a request that a healthy process answers at once, `needs` the packages of others that it imports.
    """

    def __init__(self, module: str, what: str, warm: bytes, needs: Sequence[str] = ()) -> None:
        self._start = _START.format(module)
        self._paths = _folders(("openclaw_nats", *needs))
        self._what = what
        self._warm = warm
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self.last_error = ""

    async def ask(self, request: bytes) -> bytes:
        """The answer to one request (a line of JSON); raise Poison when it ended the process, Unavailable when none
        can be started.
        """
        async with self._lock:
            for _ in range(_TRIES):
                process = await self._running()
                try:
                    async with asyncio.timeout(WALL_SECONDS):
                        found = await _exchange(process, request)
                    if found:
                        return found
                    if await process.wait() == -signal.SIGPROF:
                        raise Poison(f"{self._what} took too long and was stopped")
                except TimeoutError:
                    await self._end()
                    raise Poison(f"{self._what} did not end within {WALL_SECONDS:g} s and was stopped") from None
                except (OSError, RuntimeError, ValueError):  # it may have died before: a fresh one will show
                    await self._end()
                except asyncio.CancelledError:
                    await self._end()  # its answer would be taken for the next request's
                    raise
            raise Poison(f"{self._what}: its process died: it may have needed too much memory")

    async def close(self) -> None:
        """Stop the process."""
        await self._end()

    async def _running(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        self.last_error = ""
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-c", self._start, *self._paths),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                limit=_LINE,
                start_new_session=True,
            )
            async with asyncio.timeout(_START_SECONDS):
                with contextlib.suppress(ConnectionError, RuntimeError):  # it was gone before we could write
                    if await _exchange(self._process, self._warm):
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
        self.last_error = f"the process for {self._what} can't be started: {reason}"
        raise Unavailable(
            self.last_error, hint="Is there memory, and may more processes be started? It is tried again."
        )

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _folders(packages: Sequence[str]) -> list[str]:
    """The folders that hold packages, each once."""
    found = [spec.origin for one in packages if (spec := importlib.util.find_spec(one)) is not None and spec.origin]
    return list(dict.fromkeys(str(_holding(Path(one))) for one in found))


def _holding(origin: Path) -> Path:
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


async def _exchange(process: Process, request: bytes) -> bytes:
    """One request and the line that answers it; empty when the process has ended."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  (both are pipes)
    process.stdin.write(request + b"\n")
    await process.stdin.drain()
    return await process.stdout.readline()
