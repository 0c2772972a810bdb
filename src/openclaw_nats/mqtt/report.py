"""The part of the health report about MQTT."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from msgspec import UNSET, UnsetType

from openclaw_nats.contract.health import HomeAssistantHealth, MqttHealth
from openclaw_nats.errors import words_for
from openclaw_nats.jetstream.mqtt_kept import MqttKept
from openclaw_nats.mqtt.home_assistant import Address, HomeAssistant

_SECONDS = 2.0
_FRESH_SECONDS = 5.0


@dataclass
class MqttReport:
    """Whether nats-server listens for MQTT, looked at when somebody asks, and what became of the rest."""

    address: Address
    shown: str  # the address as others have it
    kept: MqttKept
    home_assistant: HomeAssistant | None
    _looked: float = field(default=-_FRESH_SECONDS, init=False)
    _error: str = field(default="", init=False)

    async def report(self) -> MqttHealth:
        """The report; it takes two seconds at most."""
        if time.monotonic() - self._looked >= _FRESH_SECONDS:
            self._error = await self._look()
            self._looked = time.monotonic()
        return MqttHealth(
            listening=not self._error,
            address=self.shown,
            last_error=self._error or self.kept.problem,
            stored_again=self.kept.again,
            home_assistant=_shown(self.home_assistant),
        )

    async def _look(self) -> str:
        try:
            async with asyncio.timeout(_SECONDS):
                _, writer = await asyncio.open_connection(self.address.host, self.address.port)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        except OSError as error:  # a TimeoutError is one
            return f"nothing listens for MQTT on {self.shown}: {words_for(error)}"
        return ""


def _shown(one: HomeAssistant | None) -> HomeAssistantHealth | UnsetType:
    if one is None or not one.shown:
        return UNSET
    return HomeAssistantHealth(one.connected, one.entities, one.last_error)
