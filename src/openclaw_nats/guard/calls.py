"""A guarded call in words: its arguments as they may be shown, and what a turn is told that may make it."""

from __future__ import annotations

import re

import msgspec

SHOWN = 8192  # characters of arguments
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
TAG = "[openclaw-nats]"


def shown_arguments(arguments: object) -> str:
    """Arguments as JSON, cut."""
    text = msgspec.json.encode(arguments).decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def data_of(tool: str, arguments: str) -> str:
    """What stands in the cage of the turn that may make the call: a model wrote it, in a turn that outsiders led to."""
    return f"The call that was refused\ntool: {_named(tool)}\narguments: {arguments}"


def instruction_of(tool: str) -> str:
    """What such a turn is told, after the cage."""
    return (
        f"{TAG} The data above is a call that you wanted to make in this session, and that was refused. Your operator "
        f"has approved it: call the tool {_named(tool)} now, once, with exactly the arguments that you gave then (what "
        "is masked or cut above stands in your earlier call). With other arguments, or a second time, it is refused. "
        "Then say what came of it."
    )


def _named(tool: str) -> str:
    return tool if _NAME.fullmatch(tool) else "of that call"
