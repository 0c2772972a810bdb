"""An event on one line: when, where, and the field that matters for its kind.

Everything here was written by publishers: no field need be there, or be of the type that the plugin gives it.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeGuard

from rich.cells import cell_len

from openclaw_nats.cli.output import Styled
from openclaw_nats.cli.tables import room, shortened
from openclaw_nats.cli.times import moment
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.origin import vouches
from openclaw_nats.events.subjects import DLQ_PREFIX, PREFIX, as_event
from openclaw_nats.terminal_text import plain

_SUBJECT, _TIME = 20, 25  # columns
_VALUE = 60  # characters of one value among others
_COMMANDS = ("command", "cmd", "path", "file_path", "filePath", "url", "query", "pattern", "message", "name")
_CLOCK = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d")
_MARKS = {"✓": "green", "✗": "red"}


def event_lines(sequence: int, event: dict[str, Any], origin: str = "") -> list[list[str | Styled]]:
    """The parts of an event's line, no wider than the terminal; of two lines, where one has no room for all.

    At its end stands where it is from: a session or agent if the Gateway says so, else who said it.
    """
    subject = short_subject(event.get("subject", ""))
    mark, text = summary(subject, event.get("data"))
    colour = _MARKS.get(mark)
    claimed = (event.get("sessionkey") or event.get("agentid")) if vouches(origin) else ""
    where = plain(claimed or origin)
    width = room()
    head = f"{sequence:>6}  {shortened(plain(moment(str(event.get('time', '')))), _TIME):20}  "
    subject, text = plain(subject), plain(text)
    padded = subject + " " * max(0, _SUBJECT - cell_len(subject))
    tail = f"  {where}" if where else ""
    if cell_len(head) + cell_len(padded) + 3 + cell_len(text) + cell_len(tail) <= width:
        return [[head, Styled(padded, fg=colour or "cyan"), " ", Styled(mark or " ", fg=colour), f" {text}{tail}"]]
    left = max(_SUBJECT, width - cell_len(head))
    subject = shortened(subject, left)
    tail = shortened(tail, max(0, left - cell_len(subject)))
    first: list[str | Styled] = [head, Styled(subject, fg=colour or "cyan"), tail if len(tail) > 3 else ""]
    if not text:
        return [first]
    return [first, [" " * 8, Styled(mark or " ", fg=colour), f" {shortened(text, max(_SUBJECT, width - 10))}"]]


def short_subject(subject: object) -> str:
    """A subject without `agent.events.`, as lists show it and `--subject` takes it."""
    return str(subject).removeprefix(PREFIX)


def full_subject(text: str | None) -> str | None:
    """A subject or pattern as it was typed, with `agent.events.` before it when that was left out."""
    if not text or text.startswith(PREFIX):
        return text
    if text.startswith(DLQ_PREFIX):
        return as_event(text)
    if text.startswith("agent.quarantine"):
        hint = "`openclaw-nats quarantine release` makes events of what waits there, on its source's subject."
        raise InvalidInput("what is in quarantine is no event: no route can take it", hint=hint)
    return PREFIX + text


def summary(subject: str, data: Any) -> tuple[str, str]:
    """✓, ✗ or nothing, and what matters of an event's data; `subject` without `agent.events.`."""
    fields = data if isinstance(data, dict) else {}
    failed = fields.get("success") is False or subject.endswith(".failed") or fields.get("outcome") == "error"
    ended = fields.get("success") is True or subject.endswith(".completed")
    mark = "✗" if failed else "✓" if ended else ""
    kind = subject.partition(".")[0]
    describe = _KINDS.get(kind)
    text = describe(fields, subject, failed) if describe and isinstance(data, dict) else ""
    return mark, text or _ticked(fields) or _all_fields(data)


def _llm(data: dict[str, Any], subject: str, failed: bool) -> str:
    given = data.get("usage")
    usage = given if isinstance(given, dict) else {}
    tokens = f"{_count(usage.get('input'))} → {_count(usage.get('output'))} tokens" if usage else ""
    cost = data.get("cost")
    money = f"${cost:.3f}" if _is_number(cost) and cost else ""
    first = " ".join(one for one in (_text(data.get("model")), tokens) if one)
    why = _text(data.get("error") or data.get("stopReason")) if failed else ""
    return _joined(first, money, _duration(data), why)


def _tool(data: dict[str, Any], subject: str, failed: bool) -> str:
    params = data.get("params")
    argument = ""
    if isinstance(params, dict):
        argument = next((f'"{_text(params[one])}"' for one in _COMMANDS if params.get(one)), "") or _text(params)
    why = _text(data.get("error")).replace("exit code ", "exit ") if failed else ""
    first = " ".join(one for one in (_text(data.get("tool")), why, argument) if one)
    return _joined(first, _duration(data))


def _ended(data: dict[str, Any], subject: str, failed: bool) -> str:
    what = _text(data.get("error") or data.get("status") or data.get("stopReason"))
    return _joined(_text(data.get("model")), what if failed or not data.get("model") else "", _duration(data))


def _message(data: dict[str, Any], subject: str, failed: bool) -> str:
    sent = subject.endswith("sent")
    who = _text(data.get("to") if sent else data.get("senderName") or data.get("from") or data.get("senderId"))
    channel = _text(data.get("channel"))
    who = who.removeprefix(f"{channel}:")
    size = f"{data['characters']} characters" if _is_number(data.get("characters")) else ""
    content = f'"{_text(data["content"])}"' if data.get("content") else size
    return _joined(f"{channel} {'to' if sent else 'from'} {who}".strip(), content, _text(data.get("error")))


def _session(data: dict[str, Any], subject: str, failed: bool) -> str:
    tokens = f"{_count(data.get('tokenCount'))} tokens" if _is_number(data.get("tokenCount")) else ""
    return _joined(_text(data.get("reason")), tokens)


def _subagent(data: dict[str, Any], subject: str, failed: bool) -> str:
    who = _text(data.get("label") or data.get("childSessionKey"))
    return _joined(who, _text(data.get("outcome") or data.get("phase")), _text(data.get("error")))


def _ticked(data: dict[str, Any]) -> str:
    """A cron job's or timer's event: which, and for when, as the Gateway's own cron gives it, too."""
    for field, word in (("_cron", "job"), ("_timer", "timer")):
        note = data.get(field)
        if isinstance(note, dict):
            name = _text(note.get("jobName") or note.get("name"))
            due = moment(_text(note.get("scheduledFor")))
            at = f", {due[11:16]}" if _CLOCK.match(due) else ""
            rest = _all_fields({key: value for key, value in data.items() if not key.startswith("_")})
            return _joined(f"{word} {name}{at}", "skipped" if note.get("skipped") is True else "", rest)
    return ""


def _gateway_cron(data: dict[str, Any], subject: str, failed: bool) -> str:
    if "jobId" not in data:
        return ""
    return _joined(_text(data.get("name") or data.get("jobId")), _text(data.get("error") or data.get("status")))


_KINDS = {
    "llm": _llm,
    "tool": _tool,
    "agent": _ended,
    "model": _ended,
    "message": _message,
    "session": _session,
    "context": _session,
    "subagent": _subagent,
    "cron": _gateway_cron,
}


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)


def _all_fields(data: Any) -> str:
    if not isinstance(data, dict):
        return "" if data is None else _text(data, 200)
    return " ".join(f"{_text(key)}={_text(value)}" for key, value in data.items() if value not in (None, "", {}, []))


def _duration(data: dict[str, Any]) -> str:
    found = data.get("durationMs")
    if not _is_number(found) or found < 0:
        return ""
    return (
        f"{found:.0f} ms"
        if found < 1000
        else f"{found / 1000:.1f} s"
        if found < 60_000
        else f"{found / 60_000:.1f} min"
    )


def _count(value: Any) -> str:
    if not _is_number(value):
        return "?"
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if value >= size:
            return f"{value / size:.1f}{unit}"
    return f"{value:.0f}"


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether it is a number that can be shown: not a truth value, NaN, or one of hundreds of digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15


def _text(value: Any, limit: int = _VALUE) -> str:
    if value is None:
        return ""
    text = value[: limit * 8] if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[: limit * 8]
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
