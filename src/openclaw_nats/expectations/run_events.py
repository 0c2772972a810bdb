"""What the watchdog reads: events of runs, as this Gateway's plugin sent them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from openclaw_nats.events.decoding import decode_message
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.subjects import RUN_ENDED

BEGINS, ENDS = "agent.events.model.call.*", RUN_ENDED
_CALL = BEGINS.removesuffix("*")
_LONGEST_SECONDS = 7 * 86400.0
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class RunEvent:
    """The end of a run, with how long it took where that was said, or a call of its model; `at` is the stream's."""

    sequence: int
    at: float
    run: str
    agent: str
    session: str
    ended: bool
    seconds: float | None = None


class _Length(msgspec.Struct, rename="camel"):
    duration_ms: float | None = None


class _Document(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"null")


def run_event(message: StoredMessage, gateway_id: str) -> RunEvent | None:
    """What a message says of a run; None for nothing, and for what somebody else has published."""
    ended = message.subject == ENDS
    if not message.believed or not (ended or message.subject.startswith(_CALL)):
        return None
    decoded, broken = decode_message(message)
    owner = decoded.owner
    ours = decoded.believed and decoded.origin.name == "gateway" and owner.get("gatewayid") == gateway_id
    if broken or not ours or not 0 < len(decoded.runid) <= _LONGEST_NAME:
        return None
    seconds = _seconds(decoded.document) if ended else None
    agent = str(owner.get("agentid", ""))[:_LONGEST_NAME]
    return RunEvent(message.sequence, message.time / 1e9, decoded.runid, agent, decoded.sessionkey, ended, seconds)


def _seconds(document: bytes) -> float | None:
    try:
        data = msgspec.json.decode(msgspec.json.decode(document, type=_Document).data, type=_Length)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found = data.duration_ms
    return found / 1000 if found is not None and 0 < found <= _LONGEST_SECONDS * 1000 else None
