"""Cron expressions: what they mean, when they tick, and what is wrong with one.

Five fields (minute, hour, day of month, month, day of week), or six with seconds first; names, lists, ranges, steps,
`L`, `#`; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. cronsim computes the ticks, with Debian cron's rules
for changes of the clock: a fixed time that the clock jumps over comes right after the jump, one that the clock shows
twice comes once; expressions with * for the minute or the hour go by elapsed time. Six fields follow the same rules.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from openclaw_nats.errors import InvalidSchedule

SHORTCUTS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
FIELDS = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 7, DAYS),
)
MAX_LENGTH = 200
_EVERY = re.compile(r"(?:@every|every)\s+(\d+)?\s*(s|m|h|sec|min|hour|second|minute)[a-z]*", re.IGNORECASE)


class Cron:
    """An expression in a time zone. Ticks are whole seconds since the Unix epoch."""

    def __init__(self, expression: object, zone: object = "UTC") -> None:
        self.zone = _zone(zone)
        self.expression = _text(expression)
        fields = SHORTCUTS.get(self.expression.lower(), self.expression).split()
        _check_fields(self.expression, fields)
        try:
            self._seconds = sorted(_seconds(fields.pop(0))) if len(fields) == 6 else [0]
            self._minutes = " ".join(fields)
            first = next(self.after(datetime(2000, 1, 1, tzinfo=UTC).timestamp()), None)
        except CronSimError as error:
            raise InvalidSchedule(f"cron {self.expression!r}: {_never(str(error))}", hint=_HINT) from None
        if first is None:
            raise InvalidSchedule(f"cron {self.expression!r}: no such date comes in the next 50 years", hint=_HINT)

    def after(self, moment: float) -> Iterator[int]:
        """The ticks later than `moment`, one after another, none twice."""
        last = int(moment // 1)
        # A minute that began before `moment` can still hold a later second.
        begin = datetime.fromtimestamp(last - last % 60 - 1, UTC).astimezone(self.zone)
        for minute in CronSim(self._minutes, begin):
            start = int(minute.timestamp())
            for second in self._seconds:
                if start + second > last:
                    last = start + second
                    yield last

    def latest(self, after: float, until: float) -> int | None:
        """The last tick later than `after` and not later than `until`; None when there is none."""
        window = 64.0
        while True:
            begin = max(after, until - window)
            found = None
            for tick in self.after(begin):
                if tick > until:
                    break
                found = tick
            if found is not None or begin <= after:
                return found
            window *= 2


@lru_cache(maxsize=1024)
def cron(expression: str, zone: str) -> Cron:
    """A compiled expression, remembered."""
    return Cron(expression, zone)


_HINT = "Fields: minute hour day-of-month month day-of-week, as in `30 8 * * MON-FRI`; seconds may come first."


def _text(expression: object) -> str:
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidSchedule("cron must be text", hint=_HINT)
    plain = " ".join(expression.split())  # tabs too, as in a crontab
    if len(plain) > MAX_LENGTH or not plain.isprintable():
        raise InvalidSchedule(f"cron must be at most {MAX_LENGTH} printable characters", hint=_HINT)
    return plain


def _zone(name: object) -> ZoneInfo:
    try:
        if not isinstance(name, str) or not name or name.startswith(("/", ".")):
            raise ValueError
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidSchedule(
            f"timezone {str(name)[:60]!r} is not in the IANA time zone database", hint=_near_zone(str(name)[:60])
        ) from None


def _near_zone(name: str) -> str:
    known = {zone.lower(): zone for zone in available_timezones()}
    wanted = name.strip().lower().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known if "/" in zone}
    for candidates in (known, cities):
        close = difflib.get_close_matches(wanted, list(candidates), 1, 0.75)
        if close:
            return f"Did you mean {known[cities[close[0]]] if candidates is cities else known[close[0]]}?"
    return "Use a name such as Europe/Berlin, America/New_York or UTC."


def _check_fields(expression: str, fields: list[str]) -> None:
    if (expression.startswith("@") and expression.lower() not in SHORTCUTS) or _EVERY.fullmatch(expression):
        raise InvalidSchedule(f"cron {expression!r} is not known", hint=_near_shortcut(expression))
    if len(fields) not in (5, 6):
        what = f"cron {expression!r} has {len(fields)} field{'s' * (len(fields) != 1)}, but needs 5, or 6 with seconds"
        raise InvalidSchedule(what, hint=_right_count(fields))
    for (name, low, high, names), value in zip(FIELDS[6 - len(fields) :], fields, strict=True):
        for part in value.upper().split(","):
            _check_part(expression, name, low, high, names, part)


def _near_shortcut(expression: str) -> str:
    if found := _EVERY.fullmatch(expression):
        number, unit = int(found[1] or 1), found[2][0].lower()
        whole = 60 if unit != "h" else 24
        if number == whole:
            return "Use `" + {"s": "* * * * *", "m": "0 * * * *", "h": "0 0 * * *"}[unit] + "`."
        if number and whole % number == 0:
            step = "*" if number == 1 else f"*/{number}"
            return "Use `" + {"s": f"{step} * * * * *", "m": f"{step} * * * *", "h": f"0 {step} * * *"}[unit] + "`."
        return "Cron has no such interval; a step has to divide 60 minutes or 24 hours, as in `*/15 * * * *`."
    if expression.lower() == "@reboot":
        return "For the Gateway's start make a route on agent.events.gateway.startup."
    close = difflib.get_close_matches(expression.lower(), list(SHORTCUTS), 1, 0.5)
    return f"Did you mean {close[0]}?" if close else "Known: " + ", ".join(SHORTCUTS) + "."


def _right_count(fields: list[str]) -> str:
    if len(fields) == 7:
        plain = [field.replace("?", "*") for field in fields]
        return _propose("There is no field for years here: `{}`.", " ".join(plain[:6]), " ".join(plain[:5]))
    if 1 <= len(fields) < 5 and all(re.fullmatch(r"[\d*/,\-]+", field) for field in fields):
        return _propose(f"Did you mean `{{}}`? {_HINT}", " ".join(fields + ["*"] * (5 - len(fields))))
    return _HINT


def _propose(words: str, *expressions: str) -> str:
    """A hint with the first of the expressions that is one; what is wrong in another place too has no such hint."""
    for expression in expressions:
        with contextlib.suppress(InvalidSchedule):
            Cron(expression)
            return words.format(expression)
    return _HINT


def _check_part(expression: str, field: str, low: int, high: int, names: tuple[str, ...], part: str) -> None:
    def wrong(why: str, hint: str = _HINT) -> InvalidSchedule:
        return InvalidSchedule(f"cron {expression!r}: {field} {part!r} {why}", hint=hint)

    if part == "?":
        raise wrong("is another program's form", _propose("Use `{}`.", expression.replace("?", "*")))
    body, slash, step = part.partition("/")
    if slash and (not step.isascii() or not step.isdigit() or not 0 < int(step) <= high):
        raise wrong(f"has no step from 1 to {high} after the /", "A step is a number, as in `*/5`.")
    if slash and (body in ("L", "LW") or "#" in body or re.fullmatch(r"[0-7]L", body)):
        raise wrong("takes no step", "A step stands behind * or a range, as in `*/5`.")
    if field == "day of month" and body in ("L", "LW"):
        return
    if field == "day of week" and (found := re.fullmatch(r"(\w+)#([1-5])|([0-7])L", body)):
        body = found[1] or found[3]
    if body == "*":
        return
    first, dash, last = body.partition("-")
    ends = [_value(end, low, high, names, wrong) for end in ([first, last] if dash else [first])]
    if dash and ends[1] < ends[0]:
        raise wrong("begins after it ends", f"Use `{_around(names, low, high, ends)}`.")


def _value(text: str, low: int, high: int, names: tuple[str, ...], wrong: object) -> int:
    assert callable(wrong)  # noqa: S101  (the closure above)
    if text.isascii() and text.isdigit():
        if low <= int(text) <= high:
            return int(text)
        if text == "24" and high == 23:
            raise wrong("is out of range: hours go from 0 to 23", "Midnight is 0.")
        raise wrong(f"is out of range: it goes from {low} to {high}")
    if text in names:
        return names.index(text) + low
    close = [name for name in names if text[:3] == name] or difflib.get_close_matches(text, names, 1, 0.5)
    if close:
        raise wrong("is not known", f"Did you mean {close[0]}?")
    known = f", or {', '.join(names)}" if names else ""
    raise wrong(f"is not known: it takes numbers from {low} to {high}{known}")


def _around(names: tuple[str, ...], low: int, high: int, ends: list[int]) -> str:
    """A range over the end of the field, as two: 22-2 → 22-23,0-2."""
    if names == DAYS:
        high = 6
        ends = [ends[0] % 7, ends[1]]  # 7 is Sunday, as 0 is

    def show(value: int) -> str:
        return names[value - low] if names else str(value)

    def span(begin: int, end: int) -> str:
        return show(begin) if begin == end else f"{show(begin)}-{show(end)}"

    if ends[0] <= ends[1]:
        return span(*ends)
    return f"{span(ends[0], high)},{span(low, ends[1])}"


def _seconds(field: str) -> set[int]:
    """The seconds field, by cronsim's own parser."""
    parsed = CronSim(f"{field} * * * * *", datetime(2000, 1, 1, tzinfo=UTC))
    return {value for value in parsed.seconds if isinstance(value, int)}


def _never(message: str) -> str:
    if "day-of-month" in message:
        return "the day of month does not exist in those months, so it never comes"
    return message[0].lower() + message[1:]


def next_runs(expression: Cron, after: float, count: int) -> list[int]:
    """The next ticks, at most so many; a tick over 50 years away does not count."""
    found: list[int] = []
    for tick in expression.after(after):
        found.append(tick)
        if len(found) == count or tick > after + timedelta(days=366 * 50).total_seconds():
            break
    return found
