"""MQTT: whether our nats-server speaks it where it should, for whom, and what Home Assistant is shown."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Any

from openclaw_nats.addresses import from_here, is_loopback
from openclaw_nats.doctor import tls_side
from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.settings import Settings

_SECONDS = 3.0
# CONNECT of MQTT 3.1.1 without a user: what speaks it answers CONNACK, whether it lets us in or not.
_CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x05\x00\x04look"
_CONNACK = 0x20


def listens(settings: Settings) -> Iterator[Finding]:
    """Whether MQTT is spoken at its port; nothing while it is off."""
    port, host = settings.mqtt.port, settings.mqtt.host
    if not port:
        return
    if not settings.nats.managed:
        yield problem("mqtt", "mqtt.port is set, and this NATS is not ours", "`openclaw-nats config set mqtt.port 0`.")
        return
    at = f"{host} port {port}"
    answer = _answer(from_here(host), port, tls=settings.sidecar_speaks_tls)
    if answer is None:
        yield problem("mqtt", f"nothing listens for MQTT on {at}", "Run `openclaw-nats restart`.")
    elif answer[:1] != bytes([_CONNACK]):
        text = f"what listens on {at} does not speak MQTT"
        yield problem("mqtt", text, "Stop it, or move ours: `openclaw-nats setup --mqtt-port <a free port>`.")
    else:
        yield ok("mqtt", f"nats-server speaks MQTT on {at}{', by TLS' if settings.sidecar_speaks_tls else ''}")
    if not is_loopback(host) and not settings.sidecar_speaks_tls:
        text = f"MQTT is open on {host} without TLS: passwords and events cross the network in the open"
        yield note("mqtt", text, "Set sidecar.tls_certificate and sidecar.tls_key, or mqtt.host to 127.0.0.1.")


def reported(report: dict[str, Any]) -> Iterator[Finding]:
    """What the sidecar says of it."""
    found = report.get("mqtt")
    if not found:
        return
    if found["listening"] and found["lastError"]:
        text = f"whether what MQTT acknowledged is in the stream is not looked at: {found['lastError']}"
        yield problem("mqtt", text, "`openclaw-nats logs` says more.")
    if home := found.get("homeAssistant"):
        if home["lastError"]:
            yield problem("mqtt", home["lastError"], "`openclaw-nats logs` says more.")
        else:
            yield ok("mqtt", f"Home Assistant finds {home['entities']} entities")


def _answer(host: str, port: int, *, tls: bool) -> bytes | None:
    """What the port answers; None when nothing listens."""
    try:
        with socket.create_connection((host, port), timeout=_SECONDS) as plain, tls_side.maybe(plain, tls=tls) as link:
            link.settimeout(_SECONDS)
            link.sendall(_CONNECT)
            return link.recv(16)
    except (TimeoutError, ssl.SSLError):
        return b""
    except OSError:
        return None
