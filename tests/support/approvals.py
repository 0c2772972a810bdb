"""Refused calls as the plugin hands them over."""

from __future__ import annotations

from itertools import count
from typing import Any

from tests.support.inbound import Routed

_numbers = count(1)
SESSION = "agent:main:mail"


def reported(what: str = "refused", **more: Any) -> dict[str, Any]:
    """What the plugin hands over of one refused call."""
    number = next(_numbers)
    call: dict[str, Any] = {"command": f"touch /tmp/{number}"}
    return {
        "key": f"0197-key-{number:06}",
        "what": what,
        "agent": "main",
        "session": SESSION,
        "run": f"run-{number}",
        "route": "mail",
        "dispatch": "",
        "tool": "exec",
        "digest": f"sha256:{number}",
        "arguments": call,
        "size": 30,
        "rule": f"exec({call['command']})",
        **more,
    }


def hand_over(bus: Routed, *reports: dict[str, Any]) -> dict[str, Any]:
    """As the plugin does: events of its spool."""
    events = [
        {
            "specversion": "1.0",
            "id": f"{one['key']}-{one['what']}",
            "source": "openclaw://main",
            "type": "openclaw.plugin.guarded_call",
            "subject": "agent.events.plugin.guarded_call",
            "time": "2026-11-27T00:00:00Z",
            "data": one,
        }
        for one in reports
    ]
    status, answer = bus.call("POST", "/api/events", events)
    assert status == 200, answer
    return dict(answer)
