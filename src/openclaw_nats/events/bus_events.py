"""Events about the bus itself, as the bus says them: sealed as the Gateway's."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from openclaw_nats.events.envelope import Event, encode, format_time, type_of
from openclaw_nats.events.identity import BUS, Identity
from openclaw_nats.events.messages import Message
from openclaw_nats.events.origin import GATEWAY


def bus_message(
    identity: Identity,
    gateway_id: str,
    subject: str,
    data: Mapping[str, object],
    *,
    event_id: str,
    milliseconds: int,
    hops: int = 0,
    causation: str = "",
) -> Message:
    """The message that is published. `milliseconds`: when it happened, since the Unix epoch; `hops` as in events."""
    event = Event(
        specversion="1.0",
        id=event_id,
        source=f"openclaw://{gateway_id}/bus",
        type=type_of(subject),
        subject=subject,
        time=format_time(milliseconds),
        gatewayid=gateway_id,
        hops=hops,
        causationid=causation,
        data=msgspec.Raw(msgspec.json.encode(data)),
    )
    return identity.message(subject, encode(event), GATEWAY, BUS, event.source, event.id)
