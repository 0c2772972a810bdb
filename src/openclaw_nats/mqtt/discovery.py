"""What Home Assistant finds: retained messages in the form of its MQTT discovery (home-assistant.io, "MQTT").

Agents' and routes' names are others' to choose. In topics and ids they stand escaped, so that two names never share
one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from openclaw_nats import __version__
from openclaw_nats.keys.topics import topic_of
from openclaw_nats.mqtt.figures import BUTTONS, AgentState
from openclaw_nats.mqtt.users import DISCOVERY, STATES
from openclaw_nats.terminal_text import plain

ONLINE, OFFLINE = "online", "offline"
_PLAIN = re.compile(r"(?!x-)[A-Za-z0-9_-]{1,64}", re.ASCII)
_OTHERS = re.compile(r"[^A-Za-z0-9_-]+", re.ASCII)
_SHOWN = 64  # characters of a name
_SENSORS: dict[str, tuple[str, dict[str, object]]] = {
    "turns": ("Turns today", {"state_class": "total_increasing", "icon": "mdi:robot"}),
    "cost": ("Cost today", {"state_class": "total_increasing", "icon": "mdi:cash", "suggested_display_precision": 2}),
    "waiting": ("Waiting", {"state_class": "measurement", "icon": "mdi:tray-full"}),
    "result": ("Last result", {"icon": "mdi:check-circle-outline"}),
}


class Discovery:
    """The topics of one Gateway, and what stands in them. Values are text; an empty one removes a retained message."""

    def __init__(self, gateway_id: str) -> None:
        self._gateway = plain(gateway_id)[:_SHOWN]
        self.node = f"openclaw_{slug(gateway_id)}"
        self._states = f"{STATES}/{slug(gateway_id)}"
        self.available = f"{self._states}/available"
        # All that may be there of an earlier run.
        self.filters = (f"{DISCOVERY}/+/{self.node}/+/config", f"{self._states}/#")

    def messages(self, agents: Mapping[str, AgentState], buttons: Iterable[str]) -> dict[str, str]:
        """Every retained message that is to be there, by topic, but for `available`."""
        found: dict[str, str] = {}
        for name, state in agents.items():
            found |= self._agent(name, state)
        for button in buttons:
            found |= self._button(button)
        return found

    def _agent(self, name: str, state: AgentState) -> dict[str, str]:
        agent, shown = slug(name), plain(name)[:_SHOWN]
        device = {**_DEVICE, "identifiers": [f"{self.node}_agent_{agent}"], "name": f"OpenClaw {shown}"}
        device["model"] = "agent"
        topic = f"{self._states}/{agent}"
        kinds: dict[str, tuple[str, str, dict[str, object]]] = {
            "busy": ("binary_sensor", "Busy", {"device_class": "running"}),
            **{what: ("sensor", *told) for what, told in _SENSORS.items()},
        }
        found: dict[str, str] = {}
        for what, (kind, label, more) in kinds.items():
            config = {**more, "name": label, "state_topic": f"{topic}/{what}"}
            if what == "result":
                config["json_attributes_topic"] = f"{topic}/result_of"
            found |= self._entity(kind, f"{agent}_{what}", config, device)
        found |= {
            f"{topic}/busy": "ON" if state.busy else "OFF",
            f"{topic}/turns": str(state.turns),
            f"{topic}/cost": f"{state.cost:.4f}",
            f"{topic}/waiting": str(state.waiting),
        }
        if state.result:
            found[f"{topic}/result"] = state.result
            found[f"{topic}/result_of"] = json.dumps({"route": plain(state.route)[:128], "at": state.at})
        return found

    def _button(self, name: str) -> dict[str, str]:
        device = {**_DEVICE, "identifiers": [self.node], "name": f"OpenClaw {self._gateway}", "model": "Gateway"}
        config = {
            "name": name,
            "command_topic": topic_of(f"{BUTTONS}{name}"),
            "payload_press": json.dumps({"button": name}),
            "retain": False,
            "icon": "mdi:gesture-tap-button",
        }
        return self._entity("button", slug(name), config, device)

    def _entity(
        self, kind: str, number: str, config: Mapping[str, object], device: Mapping[str, object]
    ) -> dict[str, str]:
        document = {
            **config,
            "unique_id": f"{self.node}_{kind}_{number}",
            "availability_topic": self.available,
            "payload_available": ONLINE,
            "payload_not_available": OFFLINE,
            "qos": 1,
            "device": device,
            "origin": {"name": "openclaw-nats", "sw_version": __version__},
        }
        return {f"{DISCOVERY}/{kind}/{self.node}/{number}/config": json.dumps(document)}


def slug(name: str) -> str:
    """A name as topics and ids have it, `[A-Za-z0-9_-]`: as it is where it can be, else with a digest of it."""
    if _PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"x-{_OTHERS.sub('-', name[:24])}-{digest}"


_DEVICE: dict[str, object] = {"manufacturer": "OpenClaw", "sw_version": __version__}
