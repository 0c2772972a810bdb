"""The route of a job or timer that wakes: made of it, known by it, taken by its own ticks alone."""

from __future__ import annotations

import json

from openclaw_nats.contract.routes import RouteDocument
from openclaw_nats.events import envelope, json_text
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.seals import TICK
from openclaw_nats.inbound.route import Route, parse, to_document
from openclaw_nats.ports import Wake
from openclaw_nats.storage.routes import StoredRoute


def wake_document(wake: Wake) -> RouteDocument:
    """The route as a document. Its name holds a /, which no name of a route that somebody makes does."""
    return parse({"name": wake.owner, "pattern": wake.subject, "target": wake.target, "instruction": wake.instruction})


def wake_of(route: Route, stored: StoredRoute) -> Wake:
    """What the route of a job or timer was made of."""
    document = json.loads(json.dumps(to_document(route.document)))
    return Wake(route.owner, document["pattern"], document["target"], document.get("instruction", ""), stored.made_by)


def owner_of_tick(message: StoredMessage, gateway_id: str) -> str:
    """Whose tick a message is, as Wake.owner has it; empty for what is no sealed tick of this Gateway's."""
    if not message.seal.startswith(f"{TICK}:"):
        return ""
    try:
        event = envelope.decode(message.body)
        data = json_text.values(bytes(event.data))
        if event.gatewayid != gateway_id:
            return ""
        if "_cron" in data:
            return f"cron/{data['_cron']['jobName']}"
        due = envelope.parse_time(data["_timer"]["scheduledFor"]).timestamp()
        return f"timer/{data['_timer']['name']}@{round(due * 1000)}"
    except Exception:  # sealed by a version that writes otherwise
        return ""
