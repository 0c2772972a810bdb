"""Having a running `up` restart what it runs. It stays the process that it is, whoever started it."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

from openclaw_nats.errors import SetupError
from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private
from openclaw_nats.service.supervisor_lock import running_pid

_SECONDS = 30.0
_POLL = 0.02


def can_restart(where: Locations) -> bool:
    """Whether an `up` runs that restarts by itself; one of a release before 0.2 would end."""
    return running_pid(where) is not None and bool(_state(where).get("restarts_itself"))


def restart(where: Locations, *, everything: bool) -> None:
    """Restart the sidecar, with `everything` nats-server too; return when a new sidecar process is there.

    The supervisor restarts nats-server by itself when the settings change its configuration. Raises SetupError when
    nothing happens in time.
    """
    before = _sidecar(where)
    if everything:
        write_private(where.restart, "everything\n")
    pid = running_pid(where)
    if pid is None:
        raise SetupError("openclaw-nats does not run", hint="`openclaw-nats start` starts it.")
    os.kill(pid, signal.SIGUSR2)
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        now = _sidecar(where)
        if now and now != before:
            return
        time.sleep(_POLL)
    raise SetupError(
        f"`openclaw-nats up` (process {pid}) did not restart the sidecar within {_SECONDS:g} s",
        hint=f"The logs are in {where.logs}.",
    )


def _sidecar(where: Locations) -> int:
    """The process id of the sidecar, 0 when there is none."""
    children = _state(where).get("children", {})
    return int(children.get("sidecar", {}).get("pid", 0))


def _state(where: Locations) -> dict[str, Any]:
    try:
        found = json.loads(where.state.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
