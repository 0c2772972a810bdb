"""What the settings `stream.*` change on a stream that is there already.

Only what the operator has set is applied, never a default: sidecars that share a stream would otherwise undo each
other's settings, and what an operator chose in NATS itself. A stream that somebody else made stays as it is, unless
`stream.change_adopted` says otherwise. nats-server refuses new replicas together with other changes, so they are a
step of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openclaw_nats.settings import Settings, format_duration, format_size

# A stream's field → the setting behind it.
_FIELDS = {
    "max_age": "stream.max_age",
    "max_bytes": "stream.max_bytes",
    "duplicate_window": "stream.duplicate_window",
    "num_replicas": "stream.replicas",
}
_REPLICAS = "num_replicas"


class StreamSettings:
    """Says what is to be changed on a stream, and what of the settings is not in effect, and why."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._applied: set[str] = set()
        self._refused: dict[str, str] = {}
        self._notes: dict[str, list[str]] = {}

    @property
    def notes(self) -> list[str]:
        """One line for each setting that is not in effect; each begins with the setting's name."""
        return list(dict.fromkeys(note for notes in self._notes.values() for note in notes))

    def changes(self, found: dict[str, Any], wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The configurations to be written, one after the other; once a process for each stream.

        `refused` has to be called for one that the server refuses, `checked` with what the stream has in the end.
        """
        name = wanted["name"]
        if name in self._applied or not self._may_change(found, wanted):
            return
        self._applied.add(name)
        self._refused.pop(name, None)
        missing = self._missing(found, wanted)
        if replicas := missing.pop(_REPLICAS, None):
            yield {**found, _REPLICAS: replicas}
        if missing:
            current = {**found, _REPLICAS: replicas or found.get(_REPLICAS, 1)}
            if name in self._refused:
                current[_REPLICAS] = found.get(_REPLICAS, 1)
            yield _consistent({**current, **missing})

    def refused(self, name: str, reason: str) -> None:
        """The server did not take it: it is tried again when the streams are looked at the next time."""
        self._applied.discard(name)
        self._refused[name] = reason

    def checked(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        """Note which settings the stream does not have."""
        name = wanted["name"]
        if not self._may_change(found, wanted):
            reason = f"stream {name} was not made by openclaw-nats; `stream.change_adopted` allows changes to it"
        elif name in self._refused:
            reason = f"refused: {self._refused[name]}"
        else:
            reason = "somebody changed the stream since; a restart sets it again"
        self._notes[name] = [
            f"{_FIELDS[field]} is {_shown(field, value)}, but stream {name} has {_shown(field, found.get(field, 0))} "
            f"({reason})"
            for field, value in self._missing(found, wanted).items()
        ]

    def _may_change(self, found: dict[str, Any], wanted: dict[str, Any]) -> bool:
        return found.get("description") == wanted["description"] or self._settings.stream.change_adopted

    def _missing(self, found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        return {
            field: wanted[field]
            for field, setting in _FIELDS.items()
            if field in wanted
            and self._settings.origins[setting] != "default"
            and wanted[field] != found.get(field)
            and (field != "max_age" or wanted[field] > 0 or found.get(field, 0) > 0)
        }


def limits(settings: Settings) -> dict[str, int]:
    """Age, size and deduplication window of the events stream, as JetStream counts them (ns, bytes)."""
    found = {
        "max_age": int(settings.stream.max_age * 1e9),
        "max_bytes": settings.stream.max_bytes or -1,
        "duplicate_window": int(settings.stream.duplicate_window * 1e9),
    }
    return _consistent(found)


def _consistent(config: dict[str, Any]) -> dict[str, Any]:
    """JetStream refuses a deduplication window that is longer than the messages live."""
    if 0 < config["max_age"] < config["duplicate_window"]:
        return {**config, "duplicate_window": config["max_age"]}
    return config


def _shown(field: str, value: int) -> str:
    if field == _REPLICAS:
        return str(value)
    if field == "max_bytes":
        return format_size(value) if value > 0 else "no limit"
    return format_duration(value / 1e9) if value else "no limit"
