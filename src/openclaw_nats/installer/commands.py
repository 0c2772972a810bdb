"""Running another program's command: bounded in time, and ended with all its children when we are interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from openclaw_nats.errors import SetupError

_END_SECONDS = 3.0
_running: set[subprocess.Popen[str]] = set()


def run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run it and return what it printed; raise subprocess.TimeoutExpired, or OSError when it can't be run.

    It is in a session of its own: Ctrl-C in the terminal comes to us alone, and we decide how it ends.
    """
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    _running.add(process)
    try:
        with process:
            try:
                out, err = process.communicate(timeout=seconds)
            except BaseException:
                _end(process)
                raise
    finally:
        _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def ended(command: Sequence[str], seconds: float, *, hint: str = "") -> subprocess.CompletedProcess[str]:
    """What a command of the machine's (a service manager's, say) returned; raise SetupError when it does not end in
    time or can't be run.
    """
    words = " ".join(command)
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise SetupError(f"`{words[:200]}` did not end within {seconds:g} s", hint=hint) from None
    except OSError as error:
        raise SetupError(f"`{words[:200]}` can't be run: {error.strerror or error}", hint=hint) from None


def end_all() -> None:
    """End what other threads still wait for: nobody wants its answer any more."""
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _end(process: subprocess.Popen[str]) -> None:
    """End it and what it started (`openclaw` starts itself again with other options of Node)."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)
