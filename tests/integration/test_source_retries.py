"""A thousand deliveries of providers that come again as their documentation says, while sidecar and NATS are killed.

Time goes SPEED times faster for the providers and for the stream, whose ids are forgotten after ten minutes of theirs:
so a delivery whose answer was lost comes again within that time and long after it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.integration.test_sources import Provider
from tests.support.processes import NatsServer, Sidecar, kill_in_turn, wait_until

SPEED = 200.0
WINDOW = "3s"  # stream.duplicate_window, 10 minutes
EACH = 200
DELIVERIES_FOR = 14.0  # seconds over which they begin
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Retries:
    """When a provider comes again, in seconds after the try before; whether each try is signed with a time of its own,
    and the header in which it counts them.
    """

    waits: tuple[float, ...]
    again_signed: bool = False
    counts: str = ""


RETRIES = {
    "stripe": Retries(tuple(MINUTE * 2**n for n in range(12)), again_signed=True),  # doubling, for three days
    "standard": Retries((5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR), again_signed=True),
    "slack": Retries((1, MINUTE, 5 * MINUTE), again_signed=True, counts="x-slack-retry-num"),
    "shopify": Retries(tuple(56.0 * 2**n for n in range(8))),  # eight times in four hours, the same each time
    "github": Retries(()),  # never by itself; "Redeliver" sends the same once more
}


class Sender:
    """All deliveries of one provider."""

    def __init__(self, sidecar: Sidecar, kind: str) -> None:
        self.kind, self.how = kind, RETRIES[kind]
        self.provider = Provider(sidecar, f"again-{kind}", kind)
        self.answers: list[list[int]] = [[] for _ in range(EACH)]  # of each delivery, 0 for none

    def request(self, number: int, attempt: int = 0) -> tuple[bytes, dict[str, str]]:
        """One of its deliveries; each try of another second where it is signed again."""
        bodies = {
            "stripe": {"id": f"evt_{number}", "type": "invoice.paid", "n": number},
            "slack": {"type": "event_callback", "event_id": f"Ev{number}", "event": {"type": "x"}, "n": number},
        }
        body = json.dumps(bodies.get(self.kind, {"action": "opened", "type": "x", "n": number})).encode()
        more = {self.how.counts: str(attempt)} if self.how.counts and attempt else {}
        ago = 120 - attempt if self.how.again_signed else 120
        return self.provider.signed(body, delivery=f"d-{number}", ago=ago, **more)

    def send(self, number: int, attempt: int = 0) -> bool:
        """One try; whether it was taken."""
        try:
            status = self.provider.post(*self.request(number, attempt))[0]
        except (OSError, http.client.HTTPException):
            status = 0
        assert status in (200, 202, 0, 408, 500, 503), status
        self.answers[number].append(status)
        return status in (200, 202)

    def deliver(self, number: int) -> None:
        """All tries of one, until it is taken or the provider gives up."""
        for attempt, wait in enumerate((0.0, *self.how.waits)):
            time.sleep(wait / SPEED)
            if self.send(number, attempt):
                return

    def stored(self) -> Counter[int]:
        """How often each is in the stream."""
        return Counter(one["event"]["data"]["n"] for one in self.provider.stored())

    def taken(self) -> Iterator[int]:
        """Those that were answered with 2xx."""
        return (number for number, answers in enumerate(self.answers) if answers and answers[-1] in (200, 202))


def test_a_thousand_deliveries_are_stored_once_each_whatever_is_killed(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats-server")
    nats.start()
    one = Sidecar(tmp_path / "state", nats, f'[stream]\nduplicate_window = "{WINDOW}"\n')
    one.start()
    done = threading.Event()
    try:
        senders = [Sender(one, kind) for kind in RETRIES]
        deliveries = list(itertools.chain(*zip(*([(s, n) for n in range(EACH)] for s in senders), strict=True)))
        assert len(deliveries) == 1000
        killer = threading.Thread(target=kill_in_turn, args=((one, nats), 10, 1.3, done))
        began = time.monotonic()

        def deliver(place: int) -> None:
            time.sleep(max(0.0, began + place * DELIVERIES_FOR / 1000 - time.monotonic()))
            sender, number = deliveries[place]
            sender.deliver(number)

        killer.start()
        with ThreadPoolExecutor(48) as pool:
            for future in [pool.submit(deliver, place) for place in range(1000)]:
                future.result()
        killer.join(60)
        wait_until(lambda: one.get("/api/health")[0] == 200, 30, "the sidecar")
        tries = Counter(status for sender in senders for answers in sender.answers for status in answers)
        assert tries[0] + tries[503] + tries[500] > 50, tries  # the kills were in the way
        for sender in senders:
            found, taken = sender.stored(), set(sender.taken())
            assert not [number for number, times in found.items() if times > 1], sender.kind
            assert taken <= found.keys(), sender.kind
            if sender.kind not in ("slack", "github"):  # which give up soon
                assert len(taken) == EACH, sender.kind
        # By hand everything is sent once more, as it was: what the provider gave up on comes, all else is known.
        for sender in senders:
            before = sender.stored()
            for number in range(EACH):
                assert sender.send(number), sender.answers[number]
                assert sender.answers[number][-1] == 200 or number not in before
            assert sender.stored() == Counter(range(EACH)), sender.kind
    finally:
        done.set()
        one.close()
        nats.close()
