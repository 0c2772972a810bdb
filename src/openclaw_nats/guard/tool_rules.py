"""A route's `tools`, checked: a preset, or a list of presets, names, patterns and narrowed commands.

What a rule lets through is judged in the plugin (plugin/guard.js), in the Gateway's process. Both read
tests/support/guard-cases.json: what is refused here matches nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from openclaw_nats.errors import InvalidRoute

PRESETS = ("read", "all", "none")
_NAME = re.compile(r"[A-Za-z0-9_*][A-Za-z0-9_.:*-]{0,99}")
_NARROWED = re.compile(r"([A-Za-z0-9_*.:-]+)\(([^()]*)\)")
_WORD = re.compile(r"[A-Za-z0-9_./:=,@+%*-]+")
# They run whatever their arguments say, so that words narrow nothing.
SHELLS = frozenset(
    "sh bash dash zsh ksh mksh fish csh tcsh ash busybox toybox env sudo doas su xargs nohup timeout nice setsid watch "
    "eval exec command source . cmd powershell pwsh ssh parallel".split()
)
_HINT = 'Such as "read", "all", "none", or ["read", "nats_*", "exec(df *)"].'


def check_tools(tools: str | Sequence[str]) -> None:
    """Raise InvalidRoute when `tools` holds something that is no rule."""
    if isinstance(tools, str):
        if tools not in PRESETS:
            raise _wrong(f"is {tools[:60]!r}, which is no preset", 'A list holds names: tools = ["exec"].')
        return
    if not tools:
        raise _wrong("is an empty list", 'Write "none" when nothing is to be let through.')
    for rule in tools:
        if rule == "none":
            raise _wrong('holds "none" in a list', 'Write tools = "none" alone.')
        check_rule(rule)


def check_rule(rule: str) -> None:
    """Raise InvalidRoute when `rule` is neither a name, a pattern nor a narrowed `exec`."""
    if _NAME.fullmatch(rule):
        return
    narrowed = _NARROWED.fullmatch(rule)
    if narrowed is None or len(rule) > 500:
        raise _wrong(f"holds {rule[:60]!r}, which is no name, pattern or narrowed command", _HINT)
    if narrowed[1] != "exec":
        raise _wrong(f"holds {rule[:60]!r}: only exec can be narrowed to commands", 'Such as "exec(df *)".')
    words = narrowed[2].split(" ")
    for word in words:
        if not _WORD.fullmatch(word):
            raise _wrong(
                f"holds {rule[:60]!r}: {word[:40]!r} is no plain word",
                "Words of letters, digits and ./:=,@+%- with one space between them; a final * is any further words.",
            )
    if "*" in words[0] or "=" in words[0]:
        raise _wrong(f"holds {rule[:60]!r}, which names no program", 'Write "exec" to let every command through.')
    if words[0].rpartition("/")[2] in SHELLS:
        raise _wrong(
            f"holds {rule[:60]!r}: {words[0][:40]} runs whatever its arguments say",
            "Name the program itself, or put the commands into a file and name that.",
        )


def _wrong(what: str, hint: str) -> InvalidRoute:
    return InvalidRoute(f"tools {what}", hint=hint, field="tools")
