"""What a tool takes and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from openclaw_nats.contract.checking import check
from openclaw_nats.contract.tool_results import ToolResult
from openclaw_nats.contract.tools import Parameters
from openclaw_nats.errors import InvalidEvent

T = TypeVar("T", bound=Parameters)


@dataclass(frozen=True)
class Answer:
    """`result` is ours; `outside` is what others wrote, which the agent gets marked as outside data."""

    result: ToolResult
    outside: object = None


def parameters(kind: type[T], given: object) -> T:
    """A tool's parameters; raise InvalidEvent that names the one that is wrong. Null is as if it were left out."""
    kept = {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given
    return check(kept, kind, "the parameters", InvalidEvent)
