"""OpenClaw's session keys: `agent:<agentId>:<rest>`, folded to lower case as OpenClaw does it.

Found in 2026.9.6 (tests/contract/test_session_keys.py asks its own functions): a key is trimmed and folded but for what
others' systems tell apart by case. That is everything after `matrix:channel:` or `matrix:group:` where the key begins
(a thread's id too, but not its `:thread:` mark), and the id after `signal:group:` anywhere. Older releases fold more,
and do so themselves with what they get. Keys may hold spaces, and be longer than any limit of ours but `MAX_LENGTH`;
control characters are nobody's.
"""

from __future__ import annotations

import re

MAX_LENGTH = 2048
GLOBAL = "global"
_ALLOWED = re.compile(rf"[^\x00-\x1f\x7f]{{1,{MAX_LENGTH}}}")
_SIGNAL = re.compile(r"(?:^|:)signal:group:([^:]+)", re.IGNORECASE | re.ASCII)
_MATRIX = re.compile(r"(?:(?:agent:[^:]*:)+:*)?matrix:(?:channel|group):", re.IGNORECASE | re.ASCII)
_THREAD = ":thread:"


def is_session_key(text: str) -> bool:
    """Whether a text can be a session's key: 1 to MAX_LENGTH characters, not only spaces, no control characters."""
    return _ALLOWED.fullmatch(text) is not None and bool(text.strip())


def folded(key: str) -> str:
    """The key as OpenClaw compares it."""
    raw = key.strip()
    parts, position = [], 0
    for start, end, trimmed in sorted(_kept(raw)):
        if start < position:
            continue
        parts += [raw[position:start].strip().lower(), raw[start:end].strip() if trimmed else raw[start:end]]
        position = end
    return "".join([*parts, raw[position:].strip().lower()])


def _kept(raw: str) -> list[tuple[int, int, bool]]:
    """The spans whose case counts: start, end, and whether spaces around it do not."""
    spans = [(*match.span(1), True) for match in _SIGNAL.finditer(raw)]
    if (match := _MATRIX.match(raw)) and match.end() < len(raw):
        start = match.end()
        # The last mark counts, what stands before and after it is an id. OpenClaw looks for it in the folded text, in
        # which the rare letters that get longer (İ) have moved it: so do we, or it would be another session.
        mark = raw[start:].lower().rfind(_THREAD)
        if mark < 0:
            spans.append((start, len(raw), False))
        else:
            spans += [(start, start + mark, False), (start + mark + len(_THREAD), len(raw), False)]
    return [span for span in spans if span[0] < span[1]]


def split(key: str) -> tuple[str, str] | None:
    """The agent's id and the rest of `agent:<agentId>:<rest>`, folded; None for a key of another form."""
    parts = folded(key).split(":", 2)
    if len(parts) < 3 or parts[0] != "agent":
        return None
    agent, rest = parts[1].strip(), parts[2]
    return (agent, rest) if agent and rest and not rest.startswith(":") else None
