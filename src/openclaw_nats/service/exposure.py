"""What may leave loopback: the sidecar and MQTT by TLS, or by the operator's word."""

from __future__ import annotations

from openclaw_nats.addresses import is_loopback
from openclaw_nats.errors import SettingsError
from openclaw_nats.settings import Settings


def check_exposed(settings: Settings) -> None:
    """Raise SettingsError where everybody on a network would be asked for the key over plain HTTP."""
    one = settings.sidecar
    if is_loopback(one.host) or settings.sidecar_speaks_tls or one.tls_proxy or one.plain_http:
        return
    raise SettingsError(
        f"sidecar.host is {one.host}, beyond this machine, and there is no TLS: keys and conversations would cross the "
        "network in the open",
        hint="Set sidecar.tls_certificate and sidecar.tls_key first; or, behind a proxy with TLS, sidecar.tls_proxy "
        "to its https:// address. To insist: `openclaw-nats config set sidecar.plain_http true`.",
    )


def check_mqtt(settings: Settings) -> None:
    """Raise SettingsError where MQTT can't be spoken, or where passwords would cross a network in the open."""
    one = settings.mqtt
    if not one.port:
        return
    if one.port in (settings.sidecar.port, settings.nats_address[1]):
        raise SettingsError(f"port {one.port} is taken by the sidecar or NATS itself", hint="1883 is usual for MQTT.")
    if is_loopback(one.host) or settings.sidecar_speaks_tls or one.plain:
        return
    raise SettingsError(
        f"mqtt.host is {one.host}, beyond this machine, and there is no TLS: passwords and events would cross the "
        "network in the open",
        hint="Set sidecar.tls_certificate and sidecar.tls_key first: MQTT uses them, too. "
        "To insist: `openclaw-nats config set mqtt.plain true`.",
    )
