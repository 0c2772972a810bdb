"""What time it is where the stream is: nats-server gives it with its answers.

Schedules fire, and events are stored, by that clock. A machine whose own clock is minutes off would let fresh events
expire and set timers for the wrong moment, so what is compared with a time of the stream's is asked here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

TOLERATED_SECONDS = 3.0  # less is not worth a word, and may be the network
_SLOW_ANSWER = 2.0  # an answer that took longer says too little about the time


class StreamClock:
    """Seconds since the Unix epoch by the stream's clock; by this machine's as long as they agree, or nothing is known.

    `offset` is by how many seconds this machine is ahead of the stream; negative when it is behind.
    """

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._server = (0.0, 0.0)  # the server's time at a time of the monotonic clock
        self.offset = 0.0

    def asked(self) -> float:
        """To be called before the question whose answer goes to `heard`."""
        return self._monotonic()

    def heard(self, answer: dict[str, Any], asked: float) -> None:
        """Note the time in an answer of JetStream's; one that has none, or came late, changes nothing."""
        took = self._monotonic() - asked
        stated = _seconds(str(answer.get("ts", "")))
        if stated is None or took > _SLOW_ANSWER:
            return
        self._server = (stated + took / 2, self._monotonic())
        self.offset = self._clock() - self._server[0]

    @property
    def known(self) -> bool:
        """Whether the stream's time was heard at all."""
        return self._server[0] > 0

    @property
    def apart(self) -> bool:
        """Whether the two clocks differ by more than TOLERATED_SECONDS."""
        return abs(self.offset) > TOLERATED_SECONDS

    def now(self) -> float:
        """Seconds since the Unix epoch, now."""
        if not self.apart:
            return self._clock()
        stated, at = self._server
        return stated + self._monotonic() - at

    @property
    def correction(self) -> float:
        """What has to be taken from this machine's time to have the stream's; 0 as long as they agree."""
        return self._clock() - self.now() if self.apart else 0.0

    @property
    def note(self) -> str:
        """For operators; empty while the clocks agree."""
        return apart_text(self.offset) if self.apart else ""


def apart_text(offset: float) -> str:
    """One line about clocks that differ by `offset` seconds."""
    where = "ahead of" if offset > 0 else "behind"
    return (
        f"this machine's clock is {abs(offset):.0f} s {where} NATS' clock: times of events and quiet hours are off. "
        "Set both by NTP"
    )


def _seconds(text: str) -> float | None:
    """Of a time such as 2026-11-26T12:00:00.123456789Z or one with an offset; None for any other text."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if match is None:
        return None
    zone = "+00:00" if match[3] == "Z" else match[3]
    try:
        return datetime.fromisoformat(match[1] + zone).timestamp() + float(match[2] or 0)
    except ValueError:
        return None
