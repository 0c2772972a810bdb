"""MQTT's part of the sidecar, put together; there is one where the nats-server that we run speaks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats.addresses import from_here
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.mqtt_kept import MqttKept
from openclaw_nats.locations import Locations
from openclaw_nats.mqtt.discovery import Discovery
from openclaw_nats.mqtt.figures import AgentFigures
from openclaw_nats.mqtt.home_assistant import Address, HomeAssistant
from openclaw_nats.mqtt.report import MqttReport
from openclaw_nats.mqtt.users import sidecar_user
from openclaw_nats.service.inbound_parts import Inbound
from openclaw_nats.settings import Settings
from openclaw_nats.storage.inbox import fact, set_fact

_SHOWN = "home assistant is shown something"


@dataclass
class Mqtt:
    """What runs, and what health asks."""

    kept: MqttKept
    home_assistant: HomeAssistant | None
    report: MqttReport

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        tasks: dict[str, Callable[[], Awaitable[None]]] = {"mqtt": self.kept.run}
        return {**tasks, "home-assistant": self.home_assistant.run} if self.home_assistant is not None else tasks


def build_mqtt(settings: Settings, connection: Connection, inbound: Inbound, secret: bytes) -> Mqtt | None:
    """Wire it; None while MQTT is off, or NATS is not ours. `secret` is the key of `identity-key`."""
    in_container = settings.origins.get("nats.managed", "").isupper()  # by a variable: nats-server is in another one
    ours = settings.nats.managed or in_container
    if not settings.mqtt.port or not ours or Locations(settings.home).own_nats_config is None:
        return None
    kept = MqttKept(connection)
    certificate = settings.sidecar.tls_certificate if settings.sidecar_speaks_tls else ""
    address = Address(from_here(settings.mqtt.host), settings.mqtt.port, certificate)
    home_assistant = _home_assistant(settings, connection, inbound, secret, address)
    shown = f"{settings.mqtt.host} port {settings.mqtt.port}"
    return Mqtt(kept, home_assistant, MqttReport(address, shown, kept, home_assistant))


def _home_assistant(
    settings: Settings, connection: Connection, inbound: Inbound, secret: bytes, address: Address
) -> HomeAssistant | None:
    database, shown = inbound.database, settings.mqtt.home_assistant
    if not shown and not database.now(lambda db: fact(db, _SHOWN)):
        return None
    database.now(lambda db: set_fact(db, _SHOWN, "yes"))
    figures = AgentFigures(database, inbound.book, settings.schedules.timezone)
    discovery = Discovery(settings.gateway_id)

    async def wanted() -> dict[str, str]:
        return discovery.messages(await figures.now(), figures.buttons())

    async def emptied() -> None:
        await database.write(lambda db: set_fact(db, _SHOWN, ""))

    return HomeAssistant(
        address,
        sidecar_user(secret),
        discovery,
        wanted,
        lambda: connection.connected,  # which has proven that it is our nats-server
        shown=shown,
        emptied=emptied,
    )
