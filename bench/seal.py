"""What a seal costs: making one, and reading a message with one beside a message as it is. Microseconds of CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.ingest import SUBJECT, document

from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY
from openclaw_nats.events.seals import SEAL, Seals

HEADERS = ["of an event of 380 bytes", "CPU µs"]
_CALLS = 2000
_ROUNDS = 40


def rows() -> list[list[str]]:
    """Each figure is the best of many rounds: others use the machine, too."""
    seals, now = Seals(b"k" * 32), time.time_ns()
    body = document()[1]
    seal = seals.seal(SUBJECT, body, GATEWAY)

    def message() -> StoredMessage:
        return StoredMessage(1, SUBJECT, {SEAL: seal}, body, now, 0, believed=False)

    plain = _best(message)
    return [
        ["seal", f"{_best(lambda: seals.seal(SUBJECT, body, GATEWAY)):.1f}"],
        ["check", f"{_best(lambda: seals.checked(message())) - plain:.1f}"],
    ]


def _best(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_CALLS):
            call()
        best = min(best, time.process_time() - began)
    return best / _CALLS * 1e6
