"""A watched calendar: one event before each appointment, also for those that repeat, move, or are missed by a kill."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Sidecar, wait_until
from tests.support.watching import awaited, runs, stored, watch
from tests.support.web import Web


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    one = Web()
    yield one
    one.close()


def written(at: float, form: str = "%Y%m%dT%H%M%SZ") -> str:
    return datetime.fromtimestamp(at, UTC).strftime(form)


def appointment(uid: str, at: float, *more: str, title: str = "") -> str:
    head = f"UID:{uid}\r\nDTSTAMP:20260101T000000Z\r\nSUMMARY:{title or uid}\r\nLOCATION:Room\\, first"
    times = f"DTSTART:{written(at)}\r\nDTEND:{written(at + 1800)}"
    return "\r\n".join(["BEGIN:VEVENT", head, times, *more, "END:VEVENT", ""])


def ics(*appointments: str) -> bytes:
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{''.join(appointments)}END:VCALENDAR\r\n".encode()


def told(bus: Sidecar, name: str) -> list[str]:
    return [one["data"]["title"] for one in stored(bus, name)]


def test_before_each_appointment_is_one_event(bus: Sidecar, web: Web) -> None:
    now = time.time()
    daily, tomorrow = now - 30 * 86400 + 6, now + 86400 + 7
    page = web.put(
        "/cal",
        ics(
            appointment("over", now - 3600),
            appointment("soon", now + 9),
            appointment("later", now + 4000),
            appointment("daily", daily, "RRULE:FREQ=DAILY"),
            appointment("moved", daily, "RRULE:FREQ=DAILY"),
            appointment("moved", tomorrow, f"RECURRENCE-ID:{written(now + 6)}"),
            appointment("cancelled", now + 6, "STATUS:CANCELLED"),
            appointment("left-out", daily, "RRULE:FREQ=DAILY", f"EXDATE:{written(now + 6)}"),
        ),
    )
    watch(bus, "cal", "calendar", url=f"{web.url}/cal", before="4s", every="5s")
    first, second = awaited(bus, "cal", 2)
    assert told(bus, "cal") == ["daily", "soon"]
    assert first["subject"] == "agent.events.watch.cal.upcoming"
    assert first["data"]["location"] == "Room, first"
    assert (first["data"]["before"], first["data"]["allDay"], "late" in first["data"]) == ("4s", False, False)
    start = datetime.fromisoformat(second["data"]["start"]).timestamp()
    assert -1 < start - int(now + 9) < 1
    assert start - 4.5 < datetime.fromisoformat(second["time"]).timestamp() < start - 2
    page.body = ics(appointment("sudden", time.time() + 3), appointment("soon", now + 9))
    awaited(bus, "cal", 3)
    time.sleep(6)
    assert told(bus, "cal") == ["daily", "soon", "sudden"]
    assert "2 appointments, 0 within 30 days" in bus.call("POST", "/api/sources/cal/test")[1]["sees"]


def test_an_appointment_that_nobody_can_read_costs_the_others_nothing(bus: Sidecar, tmp_path: Path) -> None:
    now = time.time()
    file = tmp_path / "cal.ics"
    broken = appointment("broken", now + 6).replace("DTSTART:2", "DTSTART:x2")
    old = now - 40 * 365 * 86400
    file.write_bytes(
        ics(
            broken,
            appointment("each-second", now - 86400, "RRULE:FREQ=SECONDLY"),
            appointment("each-hour", old, "RRULE:FREQ=HOURLY"),
            appointment("never", old, "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"),
            appointment("line", now + 6, "DESCRIPTION:" + "x" * 200_000),
            "BEGIN:VEVENT\r\nUID:unfinished\r\n",
            appointment("right", now + 9, title="Right 🙂"),
        )
    )
    watch(bus, "broken", "calendar", path=str(file), before="4s", every="5s")
    awaited(bus, "broken", 1)
    assert told(bus, "broken") == ["Right 🙂"]
    note = runs(bus, "broken")["reason"]
    assert "can't be read" in note
    file.write_bytes(b"no calendar at all")
    assert "no ICS calendar" in runs(bus, "broken", "failing")["reason"]
    file.unlink()
    wait_until(lambda: "no file" in runs(bus, "broken", "failing")["reason"], 20, "another reason")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "options.calendar.url"),
        ({"url": "https://x", "path": "/x"}, "options.calendar.url"),
        ({"path": "/no/such/file"}, "options.calendar.path"),
        ({"url": "file:///etc/passwd"}, "options.calendar.url"),
        ({"url": "https://x", "before": "soon"}, "options.calendar.before"),
        ({"url": "https://x", "every": "1s"}, "options.calendar.every"),
    ],
)
def test_what_is_no_calendar_is_refused(bus: Sidecar, options: dict[str, Any], field: str) -> None:
    body = {"name": "no", "type": "calendar", "options": {"calendar": options}}
    status, answer = bus.call("POST", "/api/sources", body)
    assert (status, answer["field"]) == (400, field)


def test_what_was_due_while_nobody_looked_comes_late_and_nothing_twice(sidecar: Sidecar, tmp_path: Path) -> None:
    file = tmp_path / "cal.ics"
    now = time.time()
    starts = [now + 8 + 1.5 * number for number in range(20)]
    file.write_bytes(ics(appointment("before", now - 60), *(appointment(f"n{n}", at) for n, at in enumerate(starts))))
    watch(sidecar, "cal", "calendar", path=str(file), before="3s", every="5s")
    for pause in (2.0, 3.5, 4.0):
        time.sleep(pause)
        sidecar.kill()
        time.sleep(3)
        sidecar.start()
    awaited(sidecar, "cal", len(starts), seconds=60)
    time.sleep(2)
    assert sorted(told(sidecar, "cal")) == sorted(f"n{n}" for n in range(len(starts)))
    late = [event["data"].get("late", False) for event in stored(sidecar, "cal")]
    assert late.count(False) >= 10
