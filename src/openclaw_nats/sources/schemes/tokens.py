"""Senders that sign nothing: a token as bearer, as the password of basic authentication, or in a header of one's own.

Nothing is fresh there, so that the same body within a short time is taken for a repetition.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.sources.schemes.scheme import Received, Refused, Scheme, Verified, any_of, digest_of

_SAME_SECONDS = 60.0
Event = Callable[[Received], str]


def token_scheme(
    name: str, paste: str, event: Event, sample: bytes, sample_headers: Mapping[str, str] | None = None
) -> Scheme:
    """A scheme of such a sender; `event` names what happened."""

    def verify(received: Received, secrets: list[str], options: SourceOptions) -> Verified:
        if not any_of(_given(received, options), secrets):
            raise Refused("the token is missing or not right")
        return Verified(event(received), "", digest_of(received.body), received.now + _SAME_SECONDS)

    return Scheme(
        name,
        verify,
        _sign,
        paste,
        makes_secret=True,
        takes=frozenset({"header"}),
        sample=sample,
        sample_headers=sample_headers or {},
    )


def _given(received: Received, options: SourceOptions) -> list[str]:
    if options.header:
        return [received.header(options.header)]
    kind, _, value = received.header("Authorization").partition(" ")
    if kind.lower() == "bearer":
        return [value.strip()]
    if kind.lower() == "basic":
        try:
            return [base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return []
    return []


def _sign(body: bytes, secret: str, options: SourceOptions, now: float, delivery: str) -> dict[str, str]:
    return {options.header.lower(): secret} if options.header else {"authorization": f"Bearer {secret}"}


def _kuma(received: Received) -> str:
    return {0: "down", 1: "up", 2: "pending", 3: "maintenance"}.get(_number(received), "")


def _number(received: Received) -> int:
    found = received.fields.get("heartbeat")
    status = found.get("status") if isinstance(found, dict) else None
    return status if isinstance(status, int) else -1


_HEADER = "header Authorization: Bearer <the secret>"
SCHEMES = (
    token_scheme(
        "alertmanager",
        "In alertmanager.yml: receivers, webhook_configs, url: the address; http_config, authorization, "
        "credentials: the "
        "secret.",
        lambda received: received.text("status"),
        b'{"version": "4", "status": "firing", "alerts": [{"labels": {"alertname": "Sample NONCE"}}]}',
    ),
    token_scheme(
        "uptime-kuma",
        "In Uptime Kuma: Settings, Notifications, Setup Notification, Webhook. Post URL: the address. Additional "
        "headers: "
        '{"Authorization": "Bearer <the secret>"}.',
        _kuma,
        b'{"heartbeat": {"status": 0}, "monitor": {"name": "NONCE"}, "msg": "down"}',
    ),
    token_scheme(
        "healthchecks",
        f"In Healthchecks: Integrations, Webhook. For down and for up: the address, POST, a request {_HEADER}, and the "
        'request body {"check": "$NAME", "status": "$STATUS", "at": "$NOW"}.',
        lambda received: received.text("status"),
        b'{"check": "NONCE", "status": "down", "at": "2026-11-27T07:00:00+00:00"}',
    ),
    token_scheme(
        "home-assistant",
        "In configuration.yaml: rest_command with url: the address, method: post, content_type: application/json, "
        "headers, authorization: 'Bearer <the secret>', and payload: "
        """'{"event": "door_opened", "entity": "{{ entity }}"}' (event names what happened).""",
        lambda received: received.text("event"),
        b'{"event": "door_opened", "entity": "NONCE"}',
    ),
    token_scheme(
        "n8n",
        "An HTTP Request node: POST to the address, Authentication: Header Auth, Authorization: Bearer <the secret>. "
        "Send Body, JSON, with a field event that names what happened.",
        lambda received: received.text("event"),
        b'{"event": "done", "workflow": "NONCE"}',
    ),
    token_scheme(
        "token",
        f"Send POST requests to the address, with the {_HEADER}. A field event of a JSON body names what happened.",
        lambda received: received.text("event") or received.text("type"),
        b'{"event": "sample", "hello": "NONCE"}',
    ),
)
