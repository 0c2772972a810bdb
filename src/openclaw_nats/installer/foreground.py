"""What `up` needs before its first start: a key, a password, ports. It never touches OpenClaw."""

from __future__ import annotations

from openclaw_nats import port_holder
from openclaw_nats.errors import SetupError
from openclaw_nats.installer import credentials
from openclaw_nats.installer.setup import NO_MQTT, NO_MQTT_HINT, Options
from openclaw_nats.locations import Locations
from openclaw_nats.service.nats_config import USER
from openclaw_nats.settings import load


def prepare(options: Options) -> dict[str, str]:
    """Make the key and the password where they are missing; return the settings to write."""
    settings = load()
    where = Locations(settings.home)
    if not where.api_key.exists():
        credentials.make_api_key(where)
    changes = options.nats_settings()
    managed = not changes and (options.nats_port is not None or settings.nats.managed)
    if not changes and options.nats_port is not None:
        changes |= {"nats.managed": "true", "nats.url": f"nats://127.0.0.1:{options.nats_port}"}
    if managed and not settings.nats.password_file:
        if not where.nats_password.exists():
            credentials.make_nats_password(where)
        changes |= {"nats.managed": "true", "nats.user": USER, "nats.password_file": str(where.nats_password)}
    if options.sidecar_port is not None:
        port = options.sidecar_port
        changes |= {"sidecar.port": str(port), "sidecar.url": f"http://127.0.0.1:{port}"}
    if options.mqtt_port is not None:
        if options.mqtt_port and not managed:
            raise SetupError(NO_MQTT, hint=NO_MQTT_HINT)
        if options.mqtt_port not in (0, settings.mqtt.port) and not port_holder.is_free(options.mqtt_port):
            text = f"port {options.mqtt_port} for MQTT is held by {port_holder.holder(options.mqtt_port)}"
            raise SetupError(text, hint="Choose another one: --mqtt-port.")
        changes["mqtt.port"] = str(options.mqtt_port)
    if options.gateway_url is not None:
        changes["gateway.url"] = options.gateway_url
    return changes
