"""What a tool takes and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from openclaw_nats.errors import InvalidEvent

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """`result` is ours; `outside` is what others wrote, which the agent gets marked as outside data."""

    result: dict[str, Any]
    outside: Any = None


def parameters(kind: type[T], given: object) -> T:
    """A tool's parameters; raise InvalidEvent that names the one that is wrong."""
    if not isinstance(given, dict):
        raise InvalidEvent("the parameters must be a JSON object")
    try:
        return msgspec.convert({key: value for key, value in given.items() if value is not None}, kind)
    except msgspec.ValidationError as error:
        struct: Any = kind
        names = ", ".join(one.encode_name for one in msgspec.structs.fields(struct))
        raise InvalidEvent(str(error).replace("`$.", "`"), hint=f"Parameters: {names}.") from None
