"""What is done about missed runs: the rules alone, with the clock in hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidSchedule
from openclaw_nats.schedules.cron import Cron
from openclaw_nats.schedules.policy import MissedPolicy, parse_missed

POLICIES = st.sampled_from(["skip", "run_once", "within:10m", "within:6h", "within:3d"]).map(parse_missed)
CRONS = st.sampled_from(["*/5 * * * *", "0 * * * *", "0 8 * * *", "0 8 * * MON", "*/10 * * * * *"])


def runs_of(
    cron: Cron, policy: MissedPolicy, begin: int, away: int, back: int, *, frequent: bool
) -> list[tuple[int, float]]:
    """(tick, when it ran) for a server that was away from `away` to `back`, as server, readers and keeper decide."""
    ticks = []
    for tick in cron.after(begin):
        ticks.append(tick)
        if tick > back:
            break
    ran = [(tick, float(tick)) for tick in ticks if tick < away]
    coming = [tick for tick in ticks if tick >= away]
    armed = pairwise(coming[:11]) if frequent else [(coming[0], None)]
    for tick, following in armed:
        keep = policy.keep(tick, following)
        if tick <= back and (keep is None or back - tick <= keep):
            ran.append((tick, float(back)))
    latest = cron.latest(begin, back)
    if latest is not None and latest not in [tick for tick, _ in ran]:
        newest = max((at for _, at in ran), default=None)
        if policy.verdict(latest, back, newest) == "run":
            ran.append((latest, float(back)))
    return ran


@given(CRONS, POLICIES, st.integers(1_800_000_000, 1_800_600_000), st.integers(0, 90_000), st.integers(1, 400_000))
def test_after_an_outage_a_job_runs_at_most_once_and_only_if_its_policy_says_so(
    expression: str, policy: MissedPolicy, begin: int, before: int, length: int
) -> None:
    cron = Cron(expression)
    away, back = begin + before, begin + before + length
    ran = runs_of(cron, policy, begin, away, back, frequent=expression.startswith("*/10 *"))
    late = [tick for tick, at in ran if at > tick]
    assert len({tick for tick, _ in ran}) == len(ran)
    assert len(late) <= 1
    assert all(back - tick <= policy.window for tick in late)
    missed = cron.latest(max(begin, away - 1), back)
    if missed is None or missed == back:
        return
    assert bool(late) == (back - missed <= policy.window)  # something to make up for, and recent enough


def test_a_tick_that_fired_late_has_made_up_for_those_after_it() -> None:
    policy = parse_missed("run_once")
    assert policy.verdict(1000, 5000.0, None) == "run"
    assert policy.verdict(1000, 5000.0, 900.0) == "run"
    assert policy.verdict(1000, 5000.0, 1000.5) == "skip"


def test_an_armed_tick_fires_until_the_next_is_due_at_most() -> None:
    assert parse_missed("run_once").keep(100, 160) == 60
    assert parse_missed("run_once").keep(100, None) is None
    assert parse_missed("within:30s").keep(100, 160) == 30
    assert parse_missed("skip").keep(0, 86400) == 60
    assert parse_missed("within:30s").keep(100, None) == 30


@pytest.mark.parametrize(
    "text", ["", "always", "within:", "within:soon", "within:5", "RUN_ONCE", "within:-1m", None, 5]
)
def test_wrong_policies_are_refused(text: object) -> None:
    with pytest.raises(InvalidSchedule, match="missed"):
        parse_missed(text)


def test_windows() -> None:
    assert parse_missed("within:2h").window == 7200
    assert math.isinf(parse_missed("run_once").window)


@pytest.mark.parametrize(
    "text", ["within:0s", "within:0.5s", "within:3651d", "within:200000d", "within:" + "9" * 300 + "d"]
)
def test_a_window_that_nothing_can_keep_is_refused(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_missed(text)
