"""Limited keys: what one may do. It is what their file holds, and what `keys list` shows; no secret is in it."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.fields import Answer, Pattern, Time


class LimitedKey(Answer):
    """A key that may publish and read on some subjects, and nothing else.

    `public` is the public half of its nkey: whoever has the file can check the key and can't use it. With `mqtt` it is
    a user for MQTT, too, who may use `topics` apart from events.
    """

    name: str
    publish: list[Pattern]
    read: list[Pattern]
    public: str
    made: Time
    expires: Time | UnsetType = UNSET
    mqtt: bool = False
    topics: list[str] = []


class LimitedKeyFile(Answer):
    """All limited keys of a state directory."""

    keys: list[LimitedKey]
