"""Which hooks used to fire and no longer do: each kind against its own history, counted in what it is due with.

The plugin counts since the Gateway's process began. A history is of the newest 200 to 400 events of a kind; it says how
often in a row there was none. A kind that is often missing is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from openclaw_nats.contract.plugin import HookCount, PluginReport
from openclaw_nats.terminal_text import plural

KINDS: Mapping[str, str] = {  # and what each is due with
    "agent.run_ended": "answer of a model",
    "llm.output": "turn",
    "model.call": "turn",
    "tool": "turn with tools",
}
_ENOUGH = 20  # events, before which nothing is known
_LEAST = 10  # missing in a row
_REGULAR = 20  # a kind that was missing more often in a row is not judged
_OVER = 1000  # missing in a row: that is how it is now, and the history begins anew
_RECENT = 200
_PROCESSES = 4
_MOST_COUNTED = 1 << 40
_LONGEST_VERSION = 40


class Recent(Struct):
    """Events that came, how many were due up to the last one, and the most that were missing in a row."""

    fired: int = 0
    due: int = 0
    longest: int = 0


class Kind(Struct):
    """One kind: `missing` since the last event; `seen` is the version of OpenClaw from when on, `missing_before` how
    many were missing by then, and `version` that of the last event. `stopped_at` is 0 unless it is told.
    """

    newer: Recent = field(default_factory=Recent)
    older: Recent = field(default_factory=Recent)
    missing: int = 0
    missing_before: int = 0
    version: str = ""
    seen: str = ""
    stopped_at: float = 0.0

    @property
    def since_version(self) -> str:
        """The version of OpenClaw since which there is none, where it began with one."""
        return self.seen if self.version and self.seen != self.version else ""

    @property
    def turns(self) -> int:
        """How many are missing: since that version, or in all."""
        return self.missing - (self.missing_before if self.since_version else 0)

    @property
    def before(self) -> tuple[int, int]:
        """How many events there were in how many that were due."""
        return self.newer.fired + self.older.fired, self.newer.due + self.older.due


class Process(Struct):
    """What one process of the Gateway had counted when it last reported."""

    started_at: str
    counts: dict[str, HookCount]


class Change(Struct):
    """A kind has stopped, or is back: what has to be published."""

    back: bool
    data: dict[str, str | int]


class History(Struct):
    """All that is remembered."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)


def take(history: History, report: PluginReport, now: float) -> tuple[bool, list[Change]]:
    """(whether there was anything new, what has changed). A report that is older than the last one has nothing new."""
    process = _process(history, report.started_at[:_LONGEST_VERSION])
    version = "".join(one for one in report.gateway_version[:_LONGEST_VERSION] if one.isascii() and one.isprintable())
    new, changes = False, []
    for name in KINDS.keys() & report.hooks.keys():
        told, last = report.hooks[name], process.counts.setdefault(name, HookCount())
        if not (0 <= told.fired < _MOST_COUNTED and 0 <= told.due < _MOST_COUNTED):
            continue
        fired, due = max(0, told.fired - last.fired), max(0, told.due - last.due)
        if not fired and not due:
            continue
        new = True
        process.counts[name] = HookCount(last.fired + fired, last.due + due)
        if name == "llm.output" and report.conversation_access is False and not fired:
            continue  # the plugin says why there is none
        kind = history.kinds.setdefault(name, Kind())
        changes += _fired(name, kind, fired, due, version) if fired else _missed(name, kind, due, version, now)
        if kind.missing >= _OVER:
            history.kinds[name] = Kind()
    return new, changes


def problems(history: History) -> dict[str, str]:
    """The kinds that have stopped, each with a sentence for the operator."""
    return {name: _sentence(name, kind) for name, kind in sorted(history.kinds.items()) if kind.stopped_at}


def _process(history: History, started_at: str) -> Process:
    for one in history.processes:
        if one.started_at == started_at:
            return one
    found = Process(started_at, {})
    history.processes = [*history.processes, found][-_PROCESSES:]
    return found


def _fired(name: str, kind: Kind, fired: int, due: int, version: str) -> list[Change]:
    changes = [Change(True, _data(name, kind))] if kind.stopped_at else []
    newer = kind.newer
    newer.fired += fired
    newer.due += due
    if not kind.stopped_at:  # what was told is not how it is
        newer.due += kind.missing
        newer.longest = max(newer.longest, kind.missing + max(0, due - fired))
    if newer.fired >= _RECENT:
        kind.older, kind.newer = newer, Recent()
    kind.missing, kind.missing_before, kind.stopped_at = 0, 0, 0.0
    kind.version = kind.seen = version or kind.version
    return changes


def _missed(name: str, kind: Kind, due: int, version: str, now: float) -> list[Change]:
    if version and version != kind.seen and not kind.stopped_at and kind.missing < _LEAST // 3:
        kind.seen, kind.missing_before = version, kind.missing
    kind.missing += due
    longest = max(kind.newer.longest, kind.older.longest)
    known = kind.before[0] >= _ENOUGH and longest <= _REGULAR
    if kind.stopped_at or not known or kind.missing < max(_LEAST, 3 * longest):
        return []
    kind.stopped_at = now
    return [Change(False, _data(name, kind))]


def _data(name: str, kind: Kind) -> dict[str, str | int]:
    fired, due = kind.before
    data: dict[str, str | int] = {"hook": name, "missing": kind.turns, "firedBefore": fired, "dueBefore": due}
    return data | ({"sinceVersion": kind.since_version} if kind.since_version else {})


def _sentence(name: str, kind: Kind) -> str:
    fired, due = kind.before
    since = f"since OpenClaw {kind.since_version} none" if kind.since_version else "none"
    missing, before = _counted(kind.turns, KINDS[name]), _counted(due, KINDS[name])
    return f"{name} events have stopped: {since} in {missing}; before, there were {fired} in {before}"


def _counted(number: int, thing: str) -> str:
    first, _, rest = thing.partition(" ")
    return plural(number, first) + (f" {rest}" if rest else "")
