"""Topics of MQTT and subjects of NATS: nats-server makes `a.b` of `a/b`, `*` of `+`, `>` of `#`."""

from __future__ import annotations

import re

from openclaw_nats.errors import InvalidInput

_LEVEL = re.compile(r"[A-Za-z0-9_:@=~,;-]{1,64}", re.ASCII)
_MAX_LEVELS = 8
# What belongs to the bus, to its keys and to NATS itself, whatever a key asks for.
_TAKEN = ("agent", "key")


def check_topic(topic: str) -> str:
    """A topic apart from events that a key may have, such as `zigbee2mqtt/#`; raise InvalidInput for another."""
    levels = topic.split("/")
    plain = levels[:-1] if levels[-1] == "#" else levels
    if (
        not plain
        or len(levels) > _MAX_LEVELS
        or not _LEVEL.fullmatch(plain[0])
        or plain[0].startswith("_")
        or not all(one == "+" or _LEVEL.fullmatch(one) for one in plain)
    ):
        raise InvalidInput(
            f"a key can't have the topic {topic[:80]!r}",
            hint="Such as zigbee2mqtt/#: its first level is a name, + is one level, a final # is the rest.",
        )
    if plain[0] in _TAKEN:
        raise InvalidInput(
            f"the topic {topic[:80]!r} is the bus's own", hint="--publish and --read say which events a key may use."
        )
    return topic


def subject_of(topic: str) -> str:
    """A topic or topic filter (of check_topic, or one of ours) as NATS has it."""
    wild = {"+": "*", "#": ">"}
    return ".".join(wild.get(level, level) for level in topic.split("/"))


def topic_of(subject: str) -> str:
    """A subject as MQTT has it; its tokens hold no slash."""
    return subject.replace(".", "/")
