"""Who may come by MQTT, and what each may do. nats-server decides it; its configuration is made of this.

A password is a keyed hash of whose it is, so that none is kept: it is another one when the key is rotated, and whoever
has the state directory's `identity-key` has all of them, as in `nats-server.conf`.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.events.origin import OWNED
from openclaw_nats.keys.topics import subject_of

PREFIX = "mqtt-"
SIDECAR = "openclaw-nats-mqtt"
SESSIONS = "$MQTT.sub.>"  # where nats-server brings a client what it hears with QoS 1; no client can subscribe there
DISCOVERY = "homeassistant"
STATES = "openclaw"
_HEXADECIMAL_DIGITS = 40


@dataclass(frozen=True, slots=True)
class MqttUser:
    """A user that may come by MQTT and by nothing else; subjects as nats-server has them."""

    name: str
    password: str
    publish: tuple[str, ...]
    never: tuple[str, ...]  # on these it may not publish, whatever `publish` says
    hear: tuple[str, ...]


def user_of(key: LimitedKey, secret: bytes) -> MqttUser:
    """The user of a limited key. What it publishes goes straight into the stream: a client can ask for no answer, so
    that none comes where it may not publish.
    """
    topics = tuple(subject_of(one) for one in key.topics)
    return MqttUser(
        f"{PREFIX}{key.name}",
        _password(secret, key.name, key.public),
        (*key.publish, *topics),
        OWNED,
        _with_parents((*key.read, *topics)),
    )


def sidecar_user(secret: bytes) -> MqttUser:
    """The sidecar's own, for what Home Assistant is shown."""
    ours = (f"{DISCOVERY}.>", f"{STATES}.>")
    return MqttUser(SIDECAR, _password(secret, SIDECAR, ""), ours, (), _with_parents(ours))


def _password(secret: bytes, name: str, public: str) -> str:
    text = f"openclaw-nats mqtt user\n{name}\n{public}".encode()
    return hmac.digest(secret, text, "sha256").hex()[:_HEXADECIMAL_DIGITS]


def _with_parents(subjects: tuple[str, ...]) -> tuple[str, ...]:
    """`a/#` of MQTT is `a` as well, and nats-server refuses it to who may hear `a.>` alone."""
    if not subjects:
        return ()
    parents = [one.removesuffix(".>") for one in subjects if one.endswith(".>")]
    return (*dict.fromkeys((*subjects, *parents)), SESSIONS)
