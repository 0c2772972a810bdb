"""Answers in the form of the tool that this one replaces (@omnixal/openclaw-nats-plugin 0.2): `{success, result}`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

Shape = Callable[[Any], Any]


def published(answer: Any) -> Any:
    """`POST /api/publish`."""
    return {"published": True, "id": answer["id"]}


def route(view: Any) -> Any:
    """A route; its id is its name."""
    target = view["resolvedTarget"]
    return {
        "id": view["name"],
        "name": view["name"],
        "pattern": view["pattern"],
        "target": target.get("sessionKey")
        or target.get("agentId")
        or target.get("url")
        or target.get("subject")
        or "main",
        "enabled": view["enabled"],
        "priority": view.get("priority") or 5,
        "filter": view.get("filter"),
        "payload": view.get("payload"),
        "deliveryCount": view["counts"]["delivered"],
        "createdAt": view["createdAt"],
    }


def job(view: Any) -> Any:
    """A cron job."""
    return {
        "id": view["name"],
        "name": view["name"],
        "expr": view["cron"],
        "cron": view["cron"],
        "subject": view["subject"],
        "payload": view["payload"],
        "timezone": view["timezone"],
        "enabled": view["enabled"],
        "lastRunAt": view["lastRun"]["at"] if view["lastRun"] else None,
        "createdAt": view["createdAt"],
    }


def timer(view: Any) -> Any:
    """A timer that has not fired."""
    apart = datetime.fromisoformat(view["at"]) - datetime.fromisoformat(view["createdAt"])
    return {
        "id": view["name"],
        "name": view["name"],
        "subject": view["subject"],
        "payload": view["payload"],
        "delayMs": max(0, round(apart.total_seconds() * 1000)),
        "fireAt": view["at"],
        "fired": False,
        "createdAt": view["createdAt"],
    }


def health(report: Any) -> Any:
    """`GET /api/health`, for those with the key."""
    if "nats" not in report:
        return {"status": report["status"]}
    since = datetime.fromisoformat(report["sidecar"]["since"]).timestamp()
    counts = report["delivery"].get("counts", {})
    return {
        "nats": {"connected": report["nats"]["reachable"], "url": report["nats"]["url"]},
        "gateway": {"connected": report["gateway"]["reachable"], "url": report["gateway"]["url"]},
        "pendingCount": sum(counts.get(state, 0) for state in ("pending", "sending", "failed")),
        "uptimeSeconds": max(0, round(time.time() - since)),
        "config": {},
    }


_SHAPES: tuple[tuple[str, str, Shape], ...] = (
    ("POST", r"/api/publish", published),
    ("GET", r"/api/health", health),
    ("GET", r"/api/routes", lambda answer: [route(one) for one in answer["routes"]]),
    ("POST", r"/api/routes", route),
    ("GET", r"/api/routes/[^/]+", route),
    ("PATCH", r"/api/routes/[^/]+", route),
    ("DELETE", r"/api/routes/[^/]+", lambda _: {"deleted": True}),
    ("GET", r"/api/cron", lambda answer: [job(one) for one in answer["jobs"]]),
    ("POST", r"/api/cron", job),
    ("GET", r"/api/cron/[^/]+", job),
    ("PATCH", r"/api/cron/[^/]+", job),
    ("DELETE", r"/api/cron/[^/]+", lambda _: {"deleted": True}),
    ("POST", r"/api/cron/[^/]+/run", lambda answer: {"fired": True, "id": answer["id"]}),
)


def shape_for(method: str, path: str) -> Shape | None:
    """How the result of a request looks there; None for what that tool does not have."""
    return next((shape for verb, pattern, shape in _SHAPES if verb == method and re.fullmatch(pattern, path)), None)
