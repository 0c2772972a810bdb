"""Flow control against a simple model, with an injected clock: what goes out, when, together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.inbound.breaker import Breaker
from openclaw_nats.inbound.budgets import Budgets, Limit
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.groups import Policy, Release, Retry
from openclaw_nats.inbound.quiet_hours import QuietHours
from openclaw_nats.storage.rows import Dispatch, Waiting

PLENTY = 1_000_000
QUIET = QuietHours(22 * 60, 7 * 60, ZoneInfo("Europe/Amsterdam"))
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC).timestamp()


def flow_of(policy: Policy, hourly: int = PLENTY, lane: str = "session a") -> FlowControl:
    flow = FlowControl(Budgets((Limit("hour", hourly, 3600),), Limit("route", PLENTY, 3600)), max_text=10_000_000)
    flow.set_route(1, lane, policy, enabled=True)
    return flow


def one(number: int, at: float, priority: int = 5) -> Waiting:
    return Waiting(number, f"{number}@0", f"e{number}", number, priority, 0, 100, at, at)


def released(flow: FlowControl, now: float) -> list[list[int]]:
    """What goes out now; every turn ends at once."""
    found = []
    for release in flow.release(now).releases:
        assert isinstance(release, Release)
        found.append([member.delivery for member in release.members])
        flow.done(release.lane)
    return found


def test_urgent_routes_of_the_operator_keep_a_reserve_that_no_other_route_gets() -> None:
    budgets = Budgets((Limit("hour", 10, 3600),), Limit("route", PLENTY, 3600), (), reserve=0.2)
    flow = FlowControl(budgets, max_text=10_000_000)
    for number, lane in ((1, "noise"), (2, "alarm"), (3, "agent")):
        flow.set_route(number, lane, Policy(batch_size=1), enabled=True)
    budgets.made_by_operator(1, 8)
    budgets.made_by_operator(2, 9)
    budgets.made_by_agent(3)

    def turns(route: int, count: int) -> int:
        for number in range(count):
            flow.add(route, "", one(route * 100 + number, NOON, priority=10))  # the events' priority decides nothing
        sent = 0
        while found := released(flow, NOON):
            sent += len(found)
        return sent

    assert turns(1, 20) == 8
    assert flow.explain(1, "", NOON) == ("hour is spent", NOON + 3600)
    assert turns(3, 5) == 0
    assert turns(2, 20) == 2  # the reserve, and then it is spent for everybody
    assert flow.explain(2, "", NOON)[0] == "hour is spent"
    report = budgets.report(NOON)[0]
    assert (report.used, report.limit, report.reserved, report.free_at) == (10, 10, 2, NOON + 3600)
    budgets.made_by_operator(2, 5)
    assert turns(2, 1) == 0


@pytest.mark.parametrize(("count", "kept"), [(1, 0), (4, 0), (5, 1), (9, 1), (20, 1), (40, 2)])
def test_a_small_budget_keeps_a_turn_too_unless_it_is_very_small(count: int, kept: int) -> None:
    budgets = Budgets((Limit("hour", count, 3600),), Limit("route", PLENTY, 3600), (), 0.05)
    budgets.made_by_operator(1, None)
    for _ in range(count - kept):
        assert budgets.wait(NOON, 1) == (0.0, "")
        budgets.spend(NOON, 1)
    assert budgets.wait(NOON, 1) == (NOON + 3600, "hour")


@pytest.mark.parametrize("reserve", [0.0, 1.0])
def test_a_reserve_of_nothing_or_of_everything(reserve: float) -> None:
    budgets = Budgets((Limit("hour", 4, 3600),), Limit("route", PLENTY, 3600), (), reserve)
    budgets.made_by_operator(1, None)
    budgets.made_by_operator(2, 10)
    for _ in range(4 if reserve < 1 else 0):
        assert budgets.wait(NOON, 1) == (0.0, "")
        budgets.spend(NOON, 1)
    assert budgets.wait(NOON, 1) == (NOON + 3600, "hour")
    assert bool(budgets.wait(NOON, 2)[1]) == (reserve < 1)


MONTH = 30 * 86400.0


@pytest.mark.parametrize(
    "policy",
    [
        Policy(rate_count=1, rate_per=60, concurrency=9),
        Policy(batch_size=5, batch_wait=60, concurrency=9),
        Policy(debounce=60, max_wait=120, concurrency=9),
        Policy(quiet=QuietHours(0, 1, ZoneInfo("UTC")), concurrency=9),
        Policy(concurrency=9),
    ],
    ids=["rate", "batch", "debounce", "quiet hours", "budget"],
)
def test_a_clock_that_was_ahead_and_is_put_right_holds_nothing_until_the_wrong_time(policy: Policy) -> None:
    flow = flow_of(policy, hourly=1)
    ahead = NOON + MONTH if policy.quiet is None else NOON + MONTH - 12 * 3600 + 30
    flow.add(1, "", one(1, ahead))
    flow.release(ahead)
    if flow.waiting == 0:
        flow.done("session a")
        flow.add(1, "", one(2, ahead + 1))
        flow.release(ahead + 1)
    assert flow.waiting, "something is held by a time that lies in the future once the clock is right"
    flow.clock_put_back(NOON)
    now, sent = NOON, []
    while flow.waiting and now < NOON + MONTH:
        now = max(now, flow.next_wake() or now + 1)
        sent += released(flow, now)
    assert sent, "it goes out"
    assert now <= NOON + 3601
    assert flow.waiting == 0


def failed_dispatch(number: int) -> Dispatch:
    return dispatch_of(Release((1, ""), "session a", [one(number, NOON)], True))


def test_a_retry_and_a_breaker_keep_the_length_of_their_wait_when_the_clock_is_put_right() -> None:
    flow = flow_of(Policy(concurrency=9))
    ahead = NOON + MONTH
    flow.retry("session a", replace(failed_dispatch(1), due_at=ahead + 20, changed_at=ahead))
    flow.retry("session a", replace(failed_dispatch(2), id="d2", due_at=NOON + 40, changed_at=NOON - 10))
    flow.breaker("session a").fail(ahead, "down", threshold=1, retry_after=15)
    flow.release(ahead)
    flow.clock_put_back(NOON)
    assert flow.release(NOON + 14).releases == []
    assert flow.breaker("session a").allows(NOON + 15)
    flow.breaker("session a").succeed()
    assert [again.dispatch.id for again in flow.release(NOON + 20).releases] == ["d1"]  # type: ignore[union-attr]
    assert [again.dispatch.id for again in flow.release(NOON + 40).releases] == ["d2"]  # type: ignore[union-attr]


def test_retries_of_a_route_follow_it_to_another_target() -> None:
    flow = flow_of(Policy())
    flow.retry("session a", failed_dispatch(1))
    flow.set_route(1, "session b", Policy(), enabled=True)
    decision = flow.release(NOON)
    assert [dispatch.id for dispatch in decision.moved] == ["d1"]
    assert decision.releases == []
    flow.retry("session a", failed_dispatch(1))  # it was on its way while the route was changed
    assert [dispatch.id for dispatch in flow.release(NOON).moved] == ["d1"]
    flow.retry("session b", failed_dispatch(1))
    assert flow.release(NOON).moved == []
    flow.retry("session a", failed_dispatch(1))
    flow.discard_retries({"d1"})
    assert flow.release(NOON).moved == []


# The model: time passes second by second, every rule is looked at anew from the list of all events. ----------------


@dataclass
class Model:
    policy: Policy
    hourly: int
    waiting: list[Waiting] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)
    expired: list[int] = field(default_factory=list)

    def step(self, now: float) -> list[list[int]]:
        out: list[list[int]] = []
        while self._may(now):
            policy = self.policy
            self.waiting.sort(key=lambda w: (-w.priority, w.order))
            count = policy.batch_size or (len(self.waiting) if policy.digest else 1)
            out.append([w.delivery for w in self.waiting[:count]])
            self.waiting = self.waiting[count:]
            self.sent.append(now)
        return out

    def _may(self, now: float) -> bool:
        policy = self.policy
        if policy.expires_after:
            gone = [w for w in self.waiting if w.stored + policy.expires_after <= now]
            self.expired += [w.delivery for w in gone]
            self.waiting = [w for w in self.waiting if w not in gone]
        if not self.waiting:
            return False
        if policy.quiet:
            local = datetime.fromtimestamp(now, UTC).astimezone(policy.quiet.zone)
            if local.hour >= 22 or local.hour < 7:
                return False
        if policy.rate_count and sum(at > now - policy.rate_per for at in self.sent) >= policy.rate_count:
            return False
        first, last = min(w.arrived for w in self.waiting), max(w.arrived for w in self.waiting)
        if policy.batch_size and len(self.waiting) < policy.batch_size and now < first + policy.batch_wait:
            return False
        quiet_enough = now >= last + policy.debounce or now >= first + policy.max_wait
        if policy.debounce and not quiet_enough:
            return False
        return sum(at > now - 3600 for at in self.sent) < self.hourly


policies = st.builds(
    Policy,
    debounce=st.sampled_from([0.0, 3.0, 10.0]),
    max_wait=st.just(30.0),
    batch_size=st.sampled_from([0, 1, 3, 10]),
    batch_wait=st.sampled_from([2.0, 15.0]),
    rate_count=st.sampled_from([0, 1, 3]),
    rate_per=st.sampled_from([5.0, 60.0]),
    quiet=st.sampled_from([None, QUIET]),
    expires_after=st.sampled_from([0.0, 20.0]),
    digest=st.booleans(),
    turn=st.just(True),
)


@given(
    policy=policies,
    hourly=st.sampled_from([2, 5, PLENTY]),
    begin=st.sampled_from([NOON, NOON + 8 * 3600 + 3590, NOON + 17 * 3600 + 3590]),
    events=st.lists(st.tuples(st.integers(0, 60), st.sampled_from([1, 5, 5, 10])), max_size=25),
)
@settings(max_examples=1500, deadline=None)
def test_it_does_what_the_model_does(policy: Policy, hourly: int, begin: float, events: list[tuple[int, int]]) -> None:
    flow, model = flow_of(policy, hourly), Model(policy, hourly)
    arrivals = sorted(events, key=lambda event: event[0])
    expired: list[int] = []
    for second in range(200):
        now = begin + second
        for number, (at, priority) in enumerate(arrivals):
            if at == second:
                flow.add(1, "", one(number, now, priority))
                model.waiting.append(one(number, now, priority))
        decision = flow.release(now)
        mine = [[member.delivery for member in release.members] for release in decision.releases]  # type: ignore[union-attr]
        expired += [gone.delivery for gone in decision.expired]
        for release in decision.releases:
            flow.done(release.lane)
        while more := flow.release(now).releases:  # the line is free again: what may follow goes at once
            for release in more:
                assert isinstance(release, Release)
                mine.append([member.delivery for member in release.members])
                flow.done(release.lane)
        theirs = model.step(now)
        assert mine == theirs, (second, policy)
        assert sorted(expired) == sorted(model.expired)
        assert flow.waiting == len(model.waiting)


@given(
    policies_=st.lists(policies, min_size=1, max_size=4),
    events=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(1, 10)), max_size=40),
    turn=st.integers(1, 20),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_or_doubled_and_one_turn_at_a_time(
    policies_: list[Policy], events: list[tuple[int, int, int]], turn: int, data: st.DataObject
) -> None:
    """Several routes to one session, turns that take time and fail at random: each event ends exactly once."""
    flow = FlowControl(Budgets((Limit("hour", PLENTY, 3600),), Limit("route", PLENTY, 3600)), max_text=10_000_000)
    for route, policy in enumerate(policies_):
        flow.set_route(route, "session a", replace(policy, quiet=None), enabled=True)
    ended: list[int] = []
    running: list[tuple[float, Release | Retry]] = []
    for second in range(1500):
        now = NOON + second
        for number, (route, at, priority) in enumerate(events):
            if at == second and route < len(policies_):
                flow.add(route, "", one(number, now, priority))
        for end in [one for one in running if one[0] <= now]:
            running.remove(end)
            what = end[1]
            failed = data.draw(st.booleans()) if second < 300 else False
            dispatch = what.dispatch if isinstance(what, Retry) else dispatch_of(what)
            if failed:
                flow.breaker(what.lane).fail(now, "down", threshold=1)
                flow.retry(what.lane, dispatch)
            else:
                flow.breaker(what.lane).succeed()
                ended += dispatch.deliveries
            flow.done(what.lane)
        decision = flow.release(now)
        ended += [gone.delivery for gone in decision.expired]
        running += [(now + turn, release) for release in decision.releases]
        assert len(running) <= 1
    known = [number for number, (route, _, _) in enumerate(events) if route < len(policies_)]
    assert sorted(ended) == known
    assert flow.waiting == 0


def dispatch_of(release: Release) -> Dispatch:
    first = release.members[0]
    return Dispatch(
        id=f"d{first.delivery}",
        route_id=release.group[0],
        route="r",
        flow_key="",
        target="{}",
        body="",
        events=len(release.members),
        priority=first.priority,
        hops=0,
        position=first.order,
        created_at=0.0,
        deliveries=[member.delivery for member in release.members],
    )


def test_debounce_waits_for_quiet_but_not_longer_than_max_wait() -> None:
    flow = flow_of(Policy(debounce=10, max_wait=25))
    for second in range(0, 40, 5):
        flow.add(1, "", one(second, NOON + second))
        if released_now := released(flow, NOON + second):
            assert second == 25
            assert released_now == [[0, 5, 10, 15, 20, 25]]


def test_held_over_a_night_they_go_out_as_one_digest_in_the_morning() -> None:
    flow = flow_of(Policy(quiet=QUIET))
    night = NOON + 10 * 3600  # 23:00 in Amsterdam
    for number in range(100):
        flow.add(1, "", one(number, night + number))
        assert released(flow, night + number) == []
    assert "quiet hours until 07:00" in flow.explain(1, "", night + 200)[0]
    wake = flow.next_wake()
    assert wake == NOON + 18 * 3600
    assert released(flow, wake) == [list(range(100))]


def test_the_key_separates_what_waits() -> None:
    flow = flow_of(Policy(debounce=5, max_wait=50))
    flow.add(1, "front", one(1, NOON))
    flow.add(1, "back", one(2, NOON + 3))
    assert released(flow, NOON + 5) == [[1]]
    assert released(flow, NOON + 8) == [[2]]


def test_higher_priority_goes_first_and_equal_priority_keeps_the_order() -> None:
    flow = flow_of(Policy(digest=False))
    for number, priority in enumerate([1, 5, 10, 5, 1]):
        flow.add(1, "", one(number, NOON, priority))
    order = []
    while found := released(flow, NOON):
        order += found
    assert order == [[2], [1], [3], [0], [4]]


def test_a_failing_target_keeps_the_order_of_its_line() -> None:
    flow = flow_of(Policy(digest=False))
    flow.add(1, "", one(1, NOON))
    first = flow.release(NOON).releases[0]
    flow.add(1, "", one(2, NOON))
    flow.breaker(first.lane).fail(NOON, "down", threshold=1)
    assert isinstance(first, Release)
    flow.retry(first.lane, dispatch_of(first))
    flow.done(first.lane)
    assert flow.release(NOON + 0.5).releases == []
    assert flow.next_wake() == NOON + 1
    again = flow.release(NOON + 1).releases
    assert [type(found) for found in again] == [Retry]  # the probe is the one that failed; the second waits behind it


def test_one_route_waiting_for_its_retry_does_not_delay_another_route() -> None:
    flow = flow_of(Policy(digest=False))
    flow.set_route(2, "session a", Policy(digest=False), enabled=True)
    flow.add(1, "", one(1, NOON))
    first = flow.release(NOON).releases[0]
    assert isinstance(first, Release)
    dispatch = dispatch_of(first)
    dispatch.due_at = NOON + 3600  # its own run failed; the target is well
    flow.retry(first.lane, dispatch)
    flow.done(first.lane)
    flow.add(2, "", one(2, NOON))
    assert released(flow, NOON) == [[2]]


def test_a_budget_holds_turns_back_and_names_itself() -> None:
    flow = flow_of(Policy(digest=False), hourly=2)
    for number in range(4):
        flow.add(1, "", one(number, NOON))
    assert released(flow, NOON) + released(flow, NOON) == [[0], [1]]
    assert flow.explain(1, "", NOON) == ("hour is spent", NOON + 3600)
    assert released(flow, NOON + 3599) == []
    assert released(flow, NOON + 3600) == [[2]]


def test_a_release_that_led_to_nothing_is_no_turn() -> None:
    flow = flow_of(Policy(digest=False, rate_count=1, rate_per=3600), hourly=1)
    flow.add(1, "", one(1, NOON))
    flow.add(1, "", one(2, NOON))
    (release,) = flow.release(NOON).releases
    assert isinstance(release, Release)
    flow.refund(release)
    flow.done(release.lane)
    assert released(flow, NOON) == [[2]]


def test_a_disabled_route_holds_what_waits() -> None:
    flow = flow_of(Policy())
    flow.set_route(1, "session a", Policy(), enabled=False)
    flow.add(1, "", one(1, NOON))
    assert released(flow, NOON) == []
    flow.set_route(1, "session a", Policy(), enabled=True)
    assert released(flow, NOON + 1) == [[1]]


@pytest.mark.parametrize("failures", [1, 2, 5])
def test_a_breaker_opens_half_opens_and_closes(failures: int) -> None:
    breaker = Breaker()
    for _ in range(failures - 1):
        breaker.fail(NOON, "x", threshold=failures)
        assert breaker.allows(NOON)
    breaker.fail(NOON, "x", threshold=failures)
    assert not breaker.allows(NOON + 0.9)
    assert breaker.allows(NOON + 1)
    breaker.begin()
    assert not breaker.allows(NOON + 1)  # one probe at a time
    breaker.fail(NOON + 1, "x", threshold=failures)
    assert not breaker.allows(NOON + 2.9)  # twice as long
    breaker.begin()
    breaker.succeed()
    assert breaker.allows(NOON + 3)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-22T21:59:59+01:00", None),
        ("2026-11-22T22:00:00+01:00", "2026-11-23T07:00:00+01:00"),
        ("2026-11-23T06:59:59+01:00", "2026-11-23T07:00:00+01:00"),
        ("2026-11-23T07:00:00+01:00", None),
        ("2026-03-28T23:00:00+01:00", "2026-03-29T07:00:00+02:00"),  # summer time begins in that night
        ("2026-10-24T23:00:00+02:00", "2026-10-25T07:00:00+01:00"),  # and ends in that one
    ],
)
def test_quiet_hours_follow_the_zone_and_its_summer_time(now: str, until: str | None) -> None:
    moment = datetime.fromisoformat(now).timestamp()
    expected = None if until is None else datetime.fromisoformat(until).timestamp()
    assert QUIET.until(moment) == expected
