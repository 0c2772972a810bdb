"""Variables that belong to other programs too, and what they mean for our settings.

Scripts for the older plugin set them, so they count; but they may be meant for another program on this machine. None of
them may therefore stop a command, none is stronger than our own variable for the same setting, and `NATS_SERVERS` does
not move us away from a NATS that was chosen, be it one of our own or somebody else's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from openclaw_nats.settings.registry import REGISTRY, find

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#]+[^\s]*", re.IGNORECASE)
_NATS_SCHEMES = ("nats://", "tls://", "ws://", "wss://")
_HTTP_OF = {"ws": "http", "wss": "https", "http": "http", "https": "https"}

Raw: TypeAlias = dict[str, tuple[object, str]]


def apply(raw: Raw, environment: Mapping[str, str], *, nats: str) -> list[str]:
    """Put what the variables say into `raw` (setting → value and origin); return why some were not used, in words.

    `nats` says which NATS was chosen; empty while none was.
    """
    notes = []
    for setting in REGISTRY:
        variable, name = setting.also, setting.name
        text = environment.get(variable, "").strip() if variable else ""
        if not text or setting.variable in environment:
            continue
        if name == "nats.url" and nats:
            if _nats(text) != raw[name][0]:
                notes.append(
                    f"{variable} in the environment is not used: {nats}. `openclaw-nats setup --nats-url` switches to"
                    " another one."
                )
            continue
        value = _nats(text) if name == "nats.url" else _http(text)
        if value is None:
            notes.append(f"{variable} in the environment is not used: it is not an address that {name} could hold")
            continue
        raw[name] = (value, variable)
        if name == "nats.url" and find("nats.managed").variable not in environment:
            raw["nats.managed"] = (False, variable)
    return notes


def _http(text: str) -> str | None:
    """An address of the Gateway's or the sidecar's; `ws` and `wss` are how OpenClaw writes `http` and `https`."""
    scheme, _, rest = text.partition("://")
    scheme = _HTTP_OF.get(scheme.lower(), "")
    found = f"{scheme}://{rest.partition('?')[0].partition('#')[0].rstrip('/')}"
    return found if scheme and _ADDRESS.fullmatch(found) else None


def _nats(text: str) -> str | None:
    """Addresses of NATS servers; other clients take them without `nats://`, too."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = [part if "://" in part else f"nats://{part}" for part in parts]
    right = all(part.lower().startswith(_NATS_SCHEMES) and _ADDRESS.fullmatch(part) for part in found)
    return ",".join(found) if found and right else None
