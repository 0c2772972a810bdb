"""How a setting is declared: once, as a field of a frozen dataclass, with all that is known about it.

    max_age: float = setting(DURATION, "7d", "How long the stream keeps events.")

makes `settings.stream.max_age` (seconds, for mypy too), `stream.max_age` in `config.toml`, the environment variable
`OPENCLAW_NATS_STREAM_MAX_AGE`, and a line in `openclaw-nats config`, in the reference and on the dashboard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TypeVar

from openclaw_nats.settings.kinds import Kind, Shown

Value = TypeVar("Value")

# When a change is in effect. `config set` restarts what runs, so that "at the next start" is then at once.
AT_START = "at the sidecar's next start"
AT_NATS_START = "at nats-server's next start"
AT_UP_START = "at the next start of `up`"
AT_ONCE_AND_PLUGIN = "at once for the CLI, at the sidecar's next start for the plugin"
AT_ONCE_AND_DELIVERIES = "at once for the CLI, at the sidecar's next start for deliveries"
AT_START_OURS = "at the sidecar's next start; a stream of somebody else's: with stream.change_adopted"
AT_START_WIDENED = "at the sidecar's next start; a stream of somebody else's is only widened"
AT_PLUGIN = "at the sidecar's next start, in the plugin within 10 s of it"
AT_CREATION = "at the sidecar's next start, for what is made from then on"

_DECLARED = "declared"


@dataclass(frozen=True)
class Setting:
    """One declared setting, for those who look settings up by name or list all of them."""

    name: str
    default: object  # as it would be written
    parse: Callable[[object], object]  # raises ValueError, whose text completes "… must be"
    written: Callable[[object], Shown]  # a value as people write it: sizes and durations with their units
    help: str
    applies: str  # when a changed value is in effect, in words
    also: str  # a variable of other programs that is read too; empty without one

    @property
    def variable(self) -> str:
        """The environment variable: `stream.max_age` → `OPENCLAW_NATS_STREAM_MAX_AGE`."""
        return "OPENCLAW_NATS_" + self.name.replace(".", "_").upper()


def setting(
    kind: Kind[Value], default: Value | str, help: str, *, applies: str = AT_START, also: str = ""
) -> Value:  # the type that the field has; what comes back in fact is dataclasses.field
    """Declare one setting; a `default` that is text is read like any other text.

    `also` is a variable of other programs with that meaning (`foreign_variables.py` says when it counts).
    """
    value = kind.parse(default) if isinstance(default, str) else default
    declared = Setting("", default, kind.parse, kind.shown, help, applies, also)  # the name is the field's
    return field(default=value, metadata={_DECLARED: declared})


def declared_in(kind: type, prefix: str = "") -> tuple[Setting, ...]:
    """All settings that a dataclass declares, its sections' among them, in their order."""
    if not is_dataclass(kind):
        raise TypeError(f"{kind} is no dataclass")
    found: list[Setting] = []
    for one in fields(kind):
        declared: object = one.metadata.get(_DECLARED)
        if isinstance(declared, Setting):
            found.append(replace(declared, name=prefix + one.name))
        elif isinstance(one.default_factory, type):  # a section: its name is the part before the point
            found += declared_in(one.default_factory, f"{prefix}{one.name}.")
    return tuple(found)
