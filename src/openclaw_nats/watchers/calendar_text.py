"""Which appointments of an ICS calendar are in a span of time. Runs in a process of its own (read_worker.py).

Each appointment, with its repetitions and exceptions, is read by itself and has little time: one that nobody can read,
or that repeats each second, is left out with its reason, and costs the others nothing.
"""

from __future__ import annotations

import re
import signal
import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import icalendar
import recurring_ical_events

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.watchers.text import shortened, tidy

MOST = 1000
_MOST_OF_ONE = 200
_SECONDS_OF_ONE = 0.5
_SECONDS_OF_ALL = 3.0
_MOST_SKIPPED = 20
_LONGEST_LINE = 64 << 10
_UID, _TITLE, _TEXT = 300, 500, 2000
_FOLDED = re.compile(r"\r?\n[ \t]")
_BLOCK = re.compile(r"^(BEGIN|END):(VEVENT|VTIMEZONE)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_PROPERTY = re.compile(
    r"^(UID|DTSTART|RRULE|RDATE|RECURRENCE-ID|EXRULE)((?:;[^:\n]*)?):(.*)$", re.MULTILINE | re.IGNORECASE
)
_ZONE = re.compile(r"^TZID(?:;[^:\n]*)?:(.*)$", re.MULTILINE | re.IGNORECASE)
_OUR_ZONE = re.compile(r"^X-WR-TIMEZONE(?:;[^:\n]*)?:(.*)$", re.MULTILINE | re.IGNORECASE)
_DAY = re.compile(r"\d{8}")
_UNTIL = re.compile(r"UNTIL=(\d{8})", re.IGNORECASE)
_TOO_OFTEN = re.compile(r"FREQ=(SECONDLY|MINUTELY)", re.IGNORECASE)


class _TooLong(BaseException):
    """No library may catch it."""


@dataclass
class _Group:
    """An appointment and its exceptions, as they are written."""

    blocks: list[str] = field(default_factory=list)
    repeats: bool = False
    too_often: bool = False
    days: list[str] = field(default_factory=list)
    ended: str = ""  # the day after which a rule has nothing more


def read(body: bytes, since: float = 0.0, until: float = 0.0, zone: str = "UTC", begin: int = 0) -> dict[str, Any]:
    """The appointments that begin in a span (Unix seconds), earliest first, and what could not be read, with reasons.

    `zone` is for those that name none. What there is no time for is read the next time, from `next` on (0: that was
    all). Raises ValueError for what is no calendar.
    """
    text = _FOLDED.sub("", body.decode("utf-8", "replace").removeprefix("\ufeff")).replace("\r\n", "\n")
    if not re.match(r"\s*BEGIN:VCALENDAR\s*$", text, re.MULTILINE | re.IGNORECASE):
        raise ValueError("it is no ICS calendar")
    ours = ZoneInfo(zone)
    groups, zones = _split(text)
    span = (datetime.fromtimestamp(since, UTC), datetime.fromtimestamp(until, UTC))
    named = _OUR_ZONE.search(text)
    head = f"X-WR-TIMEZONE:{named[1]}\n" if named else ""
    found: list[dict[str, Any]] = []
    skipped: list[list[str]] = []
    left, then = _SECONDS_OF_ALL, 0
    for number, (uid, group) in enumerate(groups.items()):
        if number < begin or not _may_be_in(group, span):
            continue
        if left <= 0:
            then = number
            break
        try:
            if group.too_often:
                raise ValueError("it repeats each second or minute")
            with _at_most(_SECONDS_OF_ONE) as spent:
                found += _of_one(_calendar(group, zones, head), span, ours)
        except _TooLong:
            skipped.append([uid, "it takes too long to work out"])
        except Exception as error:  # of a library, about a foreign text
            skipped.append([uid, shortened(f"{error}" or type(error).__name__, 200)])
        left -= 0 if group.too_often else spent[0]
    found.sort(key=lambda one: float(one["at"]))
    return {"appointments": found[:MOST], "skipped": skipped[:_MOST_SKIPPED], "count": len(groups), "next": then}


def _split(text: str) -> tuple[dict[str, _Group], dict[str, str]]:
    """The appointments by their UID, and the definitions of time zones by their names."""
    groups: dict[str, _Group] = {}
    zones: dict[str, str] = {}
    begin: tuple[str, int] | None = None
    for mark in _BLOCK.finditer(text):
        kind = mark[2].upper()
        if mark[1].upper() == "BEGIN":
            begin = (kind, mark.start())
        elif begin is not None and begin[0] == kind:
            block = text[begin[1] : mark.end()]
            begin = None
            if kind == "VTIMEZONE":
                if name := _ZONE.search(block):
                    zones.setdefault(name[1].strip(), block)
            else:
                _add(groups, block)
    return groups, zones


def _add(groups: dict[str, _Group], block: str) -> None:
    found = _PROPERTY.findall(block)
    properties = {name.upper(): value for name, _, value in found}
    uid = shortened(properties.get("UID", "").strip(), _UID) or f"without a UID {len(groups)}"
    group = groups.setdefault(uid, _Group())
    group.blocks.append(block if max(map(len, block.split("\n"))) <= _LONGEST_LINE else "")
    group.repeats = group.repeats or bool(properties.keys() & {"RRULE", "RDATE", "RECURRENCE-ID", "EXRULE"})
    rules = [value for name, _, value in found if name.upper() == "RRULE"]
    group.too_often = group.too_often or any(_TOO_OFTEN.search(one) for one in rules)
    ends = _UNTIL.search(rules[0]) if len(rules) == 1 else None
    group.ended = ends[1] if ends and not properties.keys() & {"RDATE", "EXRULE"} else group.ended
    group.days.append(properties.get("DTSTART", "").strip()[:8])


def _may_be_in(group: _Group, span: tuple[datetime, datetime]) -> bool:
    """Whether it is worth reading: what does not repeat has its day in its text."""
    if not all(_DAY.fullmatch(day) for day in group.days):
        return True
    first, last = ((one + timedelta(days=days)).strftime("%Y%m%d") for one, days in zip(span, (-2, 2), strict=True))
    if group.repeats and not (group.ended and group.ended < first):
        return True
    return any(first <= day <= last for day in group.days)


def _calendar(group: _Group, zones: dict[str, str], head: str) -> Any:
    blocks = "\n".join(group.blocks)
    named = "\n".join(block for name, block in zones.items() if f"TZID={name}" in blocks or f'TZID="{name}"' in blocks)
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{head}{named}\n{blocks}\nEND:VCALENDAR\n"
    return icalendar.Calendar.from_ical(text)


def _of_one(calendar: Any, span: tuple[datetime, datetime], ours: ZoneInfo) -> list[dict[str, Any]]:
    since, until = span
    wide = (since - timedelta(days=1), until + timedelta(days=1))
    found = []
    for event in recurring_ical_events.of(calendar).between(*wide)[: 10 * _MOST_OF_ONE]:
        start = event.get("DTSTART").dt
        at = _moment(start, ours)
        if not since < at <= until or str(event.get("STATUS", "")).upper() == "CANCELLED":
            continue
        found.append(_data(event, start, at, ours))
        if len(found) >= _MOST_OF_ONE:
            break
    return found


def _data(event: Any, start: date, at: datetime, ours: ZoneInfo) -> dict[str, Any]:
    data: dict[str, Any] = {
        "uid": shortened(str(event.get("UID", "")), _UID),
        "title": shortened(tidy(str(event.get("SUMMARY", ""))), _TITLE),
        "start": _written(start, ours),
        "allDay": not isinstance(start, datetime),
    }
    end = event.get("DTEND")
    if end is not None:
        data["end"] = _written(end.dt, ours)
    for name, key, most in (
        ("LOCATION", "location", _TITLE),
        ("DESCRIPTION", "description", _TEXT),
        ("URL", "url", _TITLE),
    ):
        if value := shortened(tidy(str(event.get(name, ""))), most):
            data[key] = value
    return {"at": at.timestamp(), "data": data}


def _moment(start: date, ours: ZoneInfo) -> datetime:
    """When it begins; a whole day at midnight here."""
    whole = start if isinstance(start, datetime) else datetime.combine(start, time())
    return (whole if whole.tzinfo is not None else whole.replace(tzinfo=ours)).astimezone(UTC)


def _written(moment: date, ours: ZoneInfo) -> str:
    """A day as a day, a moment in UTC."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    return format_seconds(_moment(moment, ours).timestamp())


@contextmanager
def _at_most(seconds: float) -> Iterator[list[float]]:
    """Raise _TooLong in the block after so much CPU time; what it took is in the list then."""

    def stop(*_: object) -> None:
        raise _TooLong

    spent, began = [seconds], clock.process_time()
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield spent
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        spent[0] = clock.process_time() - began
        signal.signal(signal.SIGVTALRM, before)
