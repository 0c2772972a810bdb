"""What time it is: by the stream's clock, and by the one that nobody sets.

Deadlines are kept by both. The second one (time since the boot, sleep included) decides as long as the machine was not
started again; so a clock that is put right brings no deadline nearer and moves none away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from openclaw_nats.fleet.lease import steady

_BOOT = Path("/proc/sys/kernel/random/boot_id")
EARLY_SECONDS = 1.0
LATE_SECONDS = 3.0  # nothing has fired by then: JetStream is late, or does not fire at all


def boot_id() -> str:
    """Which boot this is; empty where the system does not say."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


@dataclass
class Times:
    """The clocks. `now` is the stream's time in seconds since the Unix epoch."""

    now: Callable[[], float] = time.time
    steady: Callable[[], float] = steady
    boot: str = ""

    def steady_of(self, moment: float) -> float:
        """A time of the stream's clock by the steady one."""
        return self.steady() - (self.now() - moment)

    def left(self, due: float, boot: str, due_steady: float) -> float:
        """How many seconds there are until a deadline; negative when it is past."""
        if boot and boot == self.boot:
            return due_steady - self.steady()
        return due - self.now()
