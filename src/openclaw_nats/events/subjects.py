"""NATS subjects and subject patterns: the only place that decides whether one is valid and whether they match.

Rules of NATS (docs.nats.io, "Subject-Based Messaging"): tokens are separated by dots, `*` stands for exactly one
token, a final `>` for one or more. Ours on top: everything lies under `agent.events.`, at most 255 bytes and 16
tokens, no white space and no control characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from openclaw_nats.errors import InvalidSubject

PREFIX = "agent.events."
EVERYTHING = "agent.events.>"
# Each agent's own: agent.events.agents.<id>.cron.<job>, ….timer.<name>, and what else it publishes there.
AGENTS = "agent.events.agents."
# What the operator's jobs and timers tell: not for agents.
SCHEDULED = ("agent.events.cron.>", "agent.events.timer.>")
# What the plugin and the sidecar themselves report (plugin/subject-list.js, inbound/notices.py): not for agents.
GATEWAY_OWN = (
    *(
        f"agent.events.{kind}.>"
        for kind in (
            "agent",
            "approval",
            "bus",
            "context",
            "dlq",
            "expectation",
            "gateway",
            "llm",
            "message",
            "model",
            "pairing",
            "plugin",
            "session",
            "skill",
            "spool",
            "subagent",
            "tool",
        )
    ),
    *(f"agent.events.cron.{action}" for action in ("added", "started", "finished", "updated", "removed")),
)
# What the bus says of dead letters: without their content, on the rest of their own subject.
DEAD_LETTERS = "agent.events.dlq."
DLQ_PREFIX = "agent.dlq."  # of the stream that holds them, with their content
RUN_ENDED = "agent.events.agent.run_ended"
LLM_OUTPUT = "agent.events.llm.output"
PROBE = "agent.events.plugin.probe"  # what doctor sends through the plugin
MAX_BYTES = 255
MAX_TOKENS = 16

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ufeff]|\s")
_FAST_SUBJECT = re.compile(r"agent\.events(?:\.[A-Za-z0-9_\-]+){1,14}", re.ASCII)


def check_subject(subject: object) -> str:
    """Return `subject` if an event may be published on it; raise InvalidSubject that says which rule it breaks."""
    if isinstance(subject, str) and len(subject) <= MAX_BYTES and _FAST_SUBJECT.fullmatch(subject):
        return subject
    tokens = _check_shape(subject, "subject")
    for token in tokens:
        if "*" in token or ">" in token:
            raise InvalidSubject(
                f"subject {_show(subject)} contains a wildcard", hint="Publish on one full subject, without * or >."
            )
    return str(subject)


def check_pattern(pattern: object) -> str:
    """Return `pattern` if it is a subject pattern under `agent.events.`; raise InvalidSubject otherwise."""
    tokens = _check_shape(pattern, "pattern")
    if ">" in tokens[:-1]:
        raise InvalidSubject(f"pattern {_show(pattern)} has > before its end", hint="> may only be the last token.")
    for token in tokens:
        if token not in ("*", ">") and ("*" in token or ">" in token):
            raise InvalidSubject(
                f"pattern {_show(pattern)} has a wildcard inside the token {token!r}",
                hint="* and > stand for whole tokens: agent.events.tool.*.failed",
            )
    return str(pattern)


def check_nats_subject(value: object, *, pattern: bool = False) -> str:
    """Return any subject of NATS (as a `pattern` with wildcards) outside its own `$` and `_INBOX` spaces."""
    tokens = value.split(".") if isinstance(value, str) else [""]
    if "" in tokens or len(str(value)) > MAX_BYTES or _FORBIDDEN.search(str(value)) or tokens[0][:1] in ("$", "_"):
        raise InvalidSubject(f"subject {_show(value)} can't be used", hint="For example services.weather.today.")
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise InvalidSubject(f"subject {_show(value)} is not valid Unicode") from None
    wild = [token for token in tokens if "*" in token or ">" in token]
    if wild and (not pattern or set(wild) - {"*", ">"} or ">" in tokens[:-1] or tokens[0] in wild):
        raise InvalidSubject(f"subject {_show(value)} has a wildcard where none can be")
    return str(value)


def matches(pattern: str, subject: str) -> bool:
    """Whether a valid `pattern` covers a valid `subject`, as nats-server would decide."""
    if pattern == subject:
        return True
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    elif len(wanted) != len(given):
        return False
    return all(want in ("*", have) for want, have in zip(wanted, given, strict=True))


def matches_any(patterns: Iterable[str], subject: str) -> bool:
    """Whether at least one of the patterns covers `subject`."""
    return any(matches(pattern, subject) for pattern in patterns)


def covers(wide: str, narrow: str) -> bool:
    """Whether every subject that the pattern `narrow` covers is covered by the pattern `wide` too."""
    if narrow.endswith(".>") and not wide.endswith(".>"):
        return False
    return matches(wide, narrow)  # a wildcard of `narrow` read as a token: only the same or a wider one covers it


def as_event(pattern: str) -> str:
    """`agent.dlq.x` as the pattern of the events about what is there; any other as it is."""
    return DEAD_LETTERS + pattern.removeprefix(DLQ_PREFIX) if pattern.startswith(DLQ_PREFIX) else pattern


def token_from_name(name: str) -> str:
    """Escape any name (a tool's, say) to one subject token of `[A-Za-z0-9_-]`, at most 64 characters, never empty."""
    return re.sub(r"[^A-Za-z0-9_\-]", "_", name)[:64] or "_"


def _check_shape(value: object, what: str) -> list[str]:
    if not isinstance(value, str):
        raise InvalidSubject(f"{what} must be text, not {type(value).__name__}")
    if not value.startswith(PREFIX) or value == PREFIX:
        raise InvalidSubject(
            f"{what} {_show(value)} is not under {PREFIX}", hint=f"Use {PREFIX}custom.<your.name>, for example."
        )
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise InvalidSubject(f"{what} is not valid Unicode") from None
    if size > MAX_BYTES:
        raise InvalidSubject(f"{what} is {size} bytes long; the limit is {MAX_BYTES}")
    if _FORBIDDEN.search(value):
        raise InvalidSubject(f"{what} {_show(value)} contains white space or a control character")
    tokens = value.split(".")
    if "" in tokens:
        raise InvalidSubject(f"{what} {_show(value)} has an empty token (two dots in a row, or a dot at the end)")
    if len(tokens) > MAX_TOKENS:
        raise InvalidSubject(f"{what} has {len(tokens)} tokens; the limit is {MAX_TOKENS}")
    return tokens


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
