"""An instruction: what the operator (or an agent, for its own sessions) wants done, in plain text.

It never travels in an event. It is read from the route, job or timer when a turn is made, and stands after the events.
"""

from __future__ import annotations

import re
import unicodedata

from openclaw_nats.errors import InvalidInput

MAX_BYTES = 4096
# Words with which somebody begins who wants something done.
_WISHES = (
    "add answer ask book call change check clean close compare compile count create decide delete do "
    "download email explain fetch file find fix forward give go greet handle help inform investigate keep "
    "let list look mail make message move notify note open order pay phone ping play please post prepare "
    "print propose publish put read remember remind remove reply report research respond restart review "
    "run save say schedule search send set show start stop suggest summarise summarize switch tell text "
    "translate turn update use verify wait wake warn watch write"
).split()
_WISH = re.compile(
    rf"(?:^|[.!?:;\n]\s*|\b(?:you (?:should|must|have to|are to)|please|then|and)\s+)(?:{'|'.join(_WISHES)})\b",
    re.IGNORECASE,
)
_EDGE = re.compile(r"(\{[{%#]|[}%#]\})")  # where code begins and ends in a template
_KEYS = frozenset(("task", "tasks", "instruction", "instructions", "prompt", "todo", "command", "do"))


def check_instruction(text: str, error: type[InvalidInput]) -> None:
    """Raise `error` for what can't be an instruction."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise error("instruction is not valid Unicode", field="instruction") from None
    if size > MAX_BYTES:
        raise error(
            f"instruction is {size} bytes long; the limit is {MAX_BYTES}",
            hint="Say the rest in the agent's own files, and refer to them.",
            field="instruction",
        )
    for place, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character not in "\n\t":
            raise error(
                f"instruction holds the control character {character!a} at character {place + 1}",
                hint="Plain text may hold new lines and tabs.",
                field="instruction",
            )


def _without_code(template: str) -> str:
    """The words of a template; each piece of code is an x."""
    words, in_code = [], False
    for part in _EDGE.split(template):
        if _EDGE.fullmatch(part):
            words += ["x"] if not in_code and part[0] == "{" else []
            in_code = part[0] == "{"
        elif not in_code:
            words.append(part)
    return "".join(words)


def looks_like_one(template: str | None, payload: object) -> str:
    """`template` or `payload` when that holds words which look like an instruction; empty when neither does."""
    if template and _WISH.search(_without_code(template).strip()):
        return "template"
    if isinstance(payload, dict) and any(
        isinstance(value, str) and (key.lower() in _KEYS or _WISH.match(value.strip()))
        for key, value in payload.items()
    ):
        return "payload"
    return ""
