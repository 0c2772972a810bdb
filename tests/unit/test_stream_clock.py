"""The stream's time, as it is heard from answers, beside this machine's own clock."""

from __future__ import annotations

from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.groups import Policy
from openclaw_nats.jetstream.stream_clock import StreamClock
from openclaw_nats.storage.rows import Waiting

NOON = 1_795_608_000.0  # 2026-11-25T12:00:00Z


class Clocks:
    """This machine's clock, which may be off, and one that only goes on."""

    def __init__(self, ahead: float) -> None:
        self.ahead = ahead
        self.passed = 0.0

    def here(self) -> float:
        return NOON + self.ahead + self.passed

    def steady(self) -> float:
        return 100.0 + self.passed


def heard(clocks: Clocks, text: str = "2026-11-25T12:00:00.5Z", took: float = 1.0) -> StreamClock:
    clock = StreamClock(clocks.here, clocks.steady)
    asked = clock.asked()
    clocks.passed += took
    clock.heard({"ts": text}, asked)
    return clock


def test_clocks_that_agree_leave_this_machines_time_alone() -> None:
    clocks = Clocks(1.0)
    clock = heard(clocks)
    assert not clock.apart
    assert clock.now() == clocks.here()
    assert clock.correction == 0
    assert clock.note == ""


def test_a_clock_that_is_off_is_said_and_the_streams_goes_on_steadily() -> None:
    for ahead, word in ((600.0, "600 s ahead of"), (-600.0, "600 s behind")):
        clocks = Clocks(ahead)
        clock = heard(clocks)
        assert round(clock.offset) == ahead
        assert word in clock.note
        assert clock.now() == NOON + 1
        assert clock.correction == ahead
        clocks.passed += 20
        clocks.ahead = 0.0  # put right meanwhile: that does not move the stream's time
        assert clock.now() == NOON + 21
        assert clock.correction == 0


def test_an_answer_that_says_nothing_or_came_late_changes_nothing() -> None:
    for text, took in (("", 0.0), ("yesterday", 0.0), ("2026-13-45T99:00:00Z", 0.0), ("2026-11-25T10:00:00Z", 3.0)):
        clocks = Clocks(0.0)
        clock = heard(clocks, text, took)
        assert clock.offset == 0
        assert clock.now() == clocks.here()


def test_fresh_events_do_not_expire_by_a_clock_that_is_ahead() -> None:
    for correction, expired in ((0.0, 1), (600.0, 0)):
        flow = FlowControl(Budgets((), Limit("r", 1000, 3600)), correction=lambda correction=correction: correction)
        flow.set_route(1, "lane", Policy(expires_after=300.0), enabled=True)
        now = NOON + 600  # ten minutes ahead of the stream, where the event is new
        flow.add(1, "", Waiting(1, "p", "e", 1, 0, 0, 10, NOON, now))
        decision = flow.release(now)
        assert len(decision.expired) == expired
        assert len(decision.releases) == 1 - expired
