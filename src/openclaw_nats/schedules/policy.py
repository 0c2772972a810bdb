"""Ticks that were missed: what to do about them, and for how long a tick that is armed may still fire."""

from __future__ import annotations

import math
from dataclasses import dataclass

from openclaw_nats.errors import InvalidSchedule
from openclaw_nats.settings import parse_duration

SKIP_SECONDS = 60.0
SHORTEST_WINDOW = 1.0  # nats-server fires within a quarter of a second
LONGEST_WINDOW = 3650 * 86400.0  # far below what a message's TTL can hold


@dataclass(frozen=True)
class MissedPolicy:
    """`window` is how late a run may be, in seconds. A later one is skipped; of several missed only the last counts."""

    text: str
    window: float

    def verdict(self, tick: int, now: float, newest_fire: float | None) -> str:
        """`run` or `skip` for the newest tick that was missed; `newest_fire` is when the job last fired.

        A tick before it that fired late, after this one was due, has made up for both.
        """
        if newest_fire is not None and newest_fire >= tick:
            return "skip"
        return "run" if now - tick <= self.window else "skip"

    def keep(self, tick: int, following: int | None) -> float | None:
        """How late an armed tick may fire, in seconds; `following` is the next tick when that is armed as well.

        Of several that are overdue at once only the newest may count, or an outage would end in a burst of runs.
        """
        gap = math.inf if following is None else float(following - tick)
        longest = min(self.window, gap)
        return None if math.isinf(longest) else longest


def parse_missed(value: object) -> MissedPolicy:
    """`skip`, `run_once` or `within:<duration>`."""
    if value == "run_once":
        return MissedPolicy("run_once", math.inf)
    if value == "skip":
        return MissedPolicy("skip", SKIP_SECONDS)
    text = str(value)
    if text.startswith("within:"):
        try:
            window = parse_duration(text.removeprefix("within:"))
        except ValueError as error:
            raise InvalidSchedule(f"missed {text[:40]!r}: after within: comes {error}", hint="Use within:2h.") from None
        if not SHORTEST_WINDOW <= window <= LONGEST_WINDOW:
            hint = "Without a limit it is run_once; a run that may not be late at all is skip."
            raise InvalidSchedule(f"missed {text[:40]!r}: after within: comes 1s to 3650d", hint=hint)
        return MissedPolicy(text, window)
    raise InvalidSchedule(f"missed must be skip, run_once or within:<duration>, not {text[:40]!r}")
