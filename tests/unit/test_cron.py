"""Cron expressions: ticks against cronsim, changes of the clock, and what is said about wrong ones."""

from __future__ import annotations

import contextlib
import re
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidSchedule
from openclaw_nats.schedules.cron import SHORTCUTS, Cron, next_runs

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


def describe_zone(zone: tzinfo, moment: float) -> str:
    """A moment as people of that zone write it: `2026-11-25 08:00 CET`."""
    return datetime.fromtimestamp(moment, UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z").replace(":00 ", " ")


def shown(expression: str, zone: str, start: str, count: int) -> list[str]:
    found = Cron(expression, zone)
    moment = datetime.fromisoformat(start).astimezone(ZoneInfo(zone)).timestamp()
    return [describe_zone(found.zone, tick) for tick in next_runs(found, moment, count)]


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, min(15, high))).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    return st.one_of(
        st.just("*"),
        number.map(str),
        span,
        step,
        st.lists(number, min_size=1, max_size=3).map(lambda numbers: ",".join(map(str, numbers))),
    )


FIVE = st.tuples(field(0, 59), field(0, 23), st.just("*"), field(1, 12), field(0, 7)).map(" ".join)
MOMENTS = st.integers(1_700_000_000, 1_900_000_000)


@given(FIVE, st.sampled_from(ZONES), MOMENTS)
def test_five_fields_tick_when_cronsim_does_and_never_twice(expression: str, zone: str, moment: int) -> None:
    ticks = next_runs(Cron(expression, zone), moment, 5)
    begin = datetime.fromtimestamp(moment - 86400, UTC).astimezone(ZoneInfo(zone))
    wanted: list[int] = []
    for tick in CronSim(expression, begin):
        second = int(tick.timestamp())
        if second > moment and (not wanted or second > wanted[-1]):
            wanted.append(second)
        if len(wanted) == 5:
            break
    assert ticks == wanted
    assert all(later > earlier for earlier, later in pairwise(ticks))


@given(FIVE, field(0, 59), st.sampled_from(ZONES), MOMENTS)
def test_six_fields_are_the_five_with_seconds(five: str, seconds: str, zone: str, moment: int) -> None:
    minutes = Cron(five, zone)
    for tick in next_runs(Cron(f"{seconds} {five}", zone), moment, 4):
        begun = minutes.latest(tick - 60, tick)
        assert begun is not None
        assert (tick - begun) in CronSim(f"{seconds} * * * * *", datetime(2026, 1, 1, tzinfo=UTC)).seconds


@given(FIVE, st.sampled_from(ZONES), MOMENTS, st.integers(1, 400_000))
def test_the_latest_tick_is_the_last_of_those_that_came(expression: str, zone: str, moment: int, span: int) -> None:
    found = Cron(expression, zone)
    came = []
    for tick in found.after(moment):
        if tick > moment + span or len(came) > 20_000:
            break
        came.append(tick)
    assert found.latest(moment, moment + span) == (came[-1] if came else None)


def test_a_job_in_the_spring_gap_runs_once_right_after_it() -> None:
    for expression in ("30 2 * * *", "0 30 2 * * *", "0,15,30 2 * * *"):
        runs = shown(expression, "Europe/Berlin", "2026-03-29T00:30:00+01:00", 2)
        assert runs[0] == "2026-03-29 03:00 CEST"
        assert runs[1].startswith("2026-03-30 02:")
    assert shown("30 2 * * *", "America/New_York", "2026-03-08T00:30:00-05:00", 1) == ["2026-03-08 03:00 EDT"]


def test_a_job_in_the_repeated_autumn_hour_runs_once() -> None:
    for expression in ("30 2 * * *", "0 30 2 * * *"):
        runs = shown(expression, "Europe/Berlin", "2026-10-25T00:00:00+02:00", 2)
        assert runs == ["2026-10-25 02:30 CEST", "2026-10-26 02:30 CET"]
    every = shown("30 * * * *", "Europe/Berlin", "2026-10-25T01:45:00+02:00", 3)  # by elapsed time: each hour
    assert every == ["2026-10-25 02:30 CEST", "2026-10-25 02:30 CET", "2026-10-25 03:30 CET"]


def test_ticks_are_asked_for_from_within_the_repeated_hour() -> None:
    second_time = datetime.fromisoformat("2026-10-25T02:10:00+01:00").timestamp()
    found = Cron("30 2 * * *", "Europe/Berlin")
    assert describe_zone(found.zone, next(found.after(second_time))) == "2026-10-26 02:30 CET"


@pytest.mark.parametrize("name", sorted(SHORTCUTS))
def test_shortcuts(name: str) -> None:
    moment = datetime(2026, 5, 17, 12, tzinfo=UTC).timestamp()
    assert next_runs(Cron(name), moment, 3) == next_runs(Cron(SHORTCUTS[name]), moment, 3)


def test_names_lists_steps_and_sunday_twice() -> None:
    assert shown("0 9 * JAN mon-fri", "UTC", "2026-12-30T00:00:00+00:00", 1) == ["2027-01-01 09:00 UTC"]
    assert shown("0 9 * * 7", "UTC", "2026-11-24T00:00:00+00:00", 1) == shown(
        "0 9 * * 0", "UTC", "2026-11-24T00:00:00+00:00", 1
    )
    assert shown("*/20 8,9 L * *", "UTC", "2026-11-24T00:00:00+00:00", 2) == [
        "2026-11-30 08:00 UTC",
        "2026-11-30 08:20 UTC",
    ]


@pytest.mark.parametrize(
    ("expression", "why", "near"),
    [
        ("61 * * * *", "minute '61' is out of range: it goes from 0 to 59", ""),
        ("0 8 * * MON#1/2", "day of week 'MON#1/2' takes no step", "*/5"),
        ("0 8 * * 5L/2", "day of week '5L/2' takes no step", "*/5"),
        ("0 8 L/2 * *", "day of month 'L/2' takes no step", "*/5"),
        ("0 24 * * *", "hours go from 0 to 23", "Midnight is 0"),
        ("0 9 * * MONDAY", "day of week 'MONDAY' is not known", "MON"),
        ("0 9 * FEBR *", "month 'FEBR'", "FEB"),
        ("0 9 * * FRI-MON", "begins after it ends", "FRI-SAT,SUN-MON"),
        ("0 22-2 * * *", "begins after it ends", "22-23,0-2"),
        ("* * * *", "has 4 fields", "* * * * *"),
        ("0 0 1 1 * 2027 *", "has 7 fields", "0 0 1 1 *"),
        ("@dayly", "is not known", "@daily"),
        ("@reboot", "is not known", "gateway.startup"),
        ("every 5 minutes", "is not known", "*/5 * * * *"),
        ("@every 1h", "is not known", "0 * * * *"),
        ("0 9 ? * *", "another program's form", "0 9 * * *"),
        ("*/0 * * * *", "no step from 1 to 59", "*/5"),
        ("0 0 31 2 *", "never comes", ""),
        ("0 0 30 2 *", "never comes", ""),
        ("", "must be text", ""),
        ("0 9 * * \u0001", "printable", ""),
    ],
)
def test_a_wrong_expression_is_told_with_the_reason_and_what_is_near(expression: str, why: str, near: str) -> None:
    with pytest.raises(InvalidSchedule) as told:
        Cron(expression)
    assert why in str(told.value)
    assert near in told.value.hint


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("america/new york", "America/New_York"),
        ("", "UTC"),
    ],
)
def test_a_wrong_zone_is_told_with_the_nearest(zone: str, near: str) -> None:
    with pytest.raises(InvalidSchedule) as told:
        Cron("@daily", zone)
    assert near in told.value.hint


@given(st.text(max_size=40))
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        ticks = next_runs(Cron(text), 1_800_000_000, 2)
    except InvalidSchedule:
        return
    assert ticks
    assert ticks[0] > 1_800_000_000


def test_ten_years_of_a_daily_job_have_one_run_a_day() -> None:
    found = Cron("30 2 * * *", "Europe/Berlin")
    begin = datetime(2026, 1, 1, tzinfo=found.zone)
    runs = next_runs(found, begin.timestamp(), 3652)
    days = {datetime.fromtimestamp(run, UTC).astimezone(found.zone).date() for run in runs}
    assert len(days) == 3652
    assert max(days) - min(days) == timedelta(days=3651)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("0 8 * * 7-1", "`SUN-MON`"),
        ("0 8 * * 7-2", "`SUN-TUE`"),
        ("0 8 * * 7-0", "`SUN`"),
        ("0 8 * * 1,7-2", "`SUN-TUE`"),
        ("0 0 8 * * 7-1/2", "`SUN-MON`"),
        ("@every 60s", "`* * * * *`"),
        ("every 60 minutes", "`0 * * * *`"),
        ("@every 24h", "`0 0 * * *`"),
        ("@every 0m", ""),
        ("0 0 12 ? * MON-FRI 2026", "`0 0 12 * * MON-FRI`"),
        ("0 0 12 * * ? *", "`0 0 12 * * *`"),
        ("? 8 7-1 * *", ""),
        ("61 8", ""),
    ],
)
def test_what_a_hint_proposes_can_be_used(expression: str, hint: str) -> None:
    with pytest.raises(InvalidSchedule) as raised:
        Cron(expression)
    assert hint in raised.value.hint
    for proposed in re.findall("`([^`]+)`", raised.value.hint):
        Cron(proposed if " " in proposed else f"0 8 * * {proposed}")


def test_fields_may_be_apart_by_tabs() -> None:
    assert Cron("\t0 8\t*  *\t* ").expression == "0 8 * * *"


@given(st.lists(st.text("0123456789*/,-?L#WSUNMO@ \t", max_size=8), min_size=1, max_size=7))
def test_any_text_is_an_expression_or_is_answered_in_words(parts: list[str]) -> None:
    with contextlib.suppress(InvalidSchedule):
        Cron(" ".join(parts))
