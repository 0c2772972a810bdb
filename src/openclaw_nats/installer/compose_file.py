"""The Compose file: nats-server and sidecar, each closed off as far as it can be."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import openclaw_nats
from openclaw_nats.addresses import host_port
from openclaw_nats.settings import Settings, find, value_of

STATE = "/state/nats"
MQTT_PORT = 1883  # inside the container
MQTT_TLS = ("/credentials/mqtt.crt", "/credentials/mqtt.key")
_CREDENTIALS = (
    "nats.password_file",
    "nats.credentials_file",
    "nats.nkey_seed_file",
    "nats.tls_ca_file",
    "gateway.certificate_file",
    "sidecar.tls_certificate",
    "sidecar.tls_key",
)
_CHECK_NATS = "import socket; assert socket.create_connection(('127.0.0.1', 4222), 3).recv(4) == b'INFO'"
_CHECK_SIDECAR = "import urllib.request as r; r.urlopen('http://127.0.0.1:3104/api/health', timeout=3)"
_CHECK_BY_TLS = (
    "import ssl, urllib.request as r; c = ssl.create_default_context(); c.check_hostname = False; "
    "c.verify_mode = ssl.CERT_NONE; r.urlopen('https://127.0.0.1:3104/api/health', timeout=3, context=c)"
)


def compose(settings: Settings, folder: Path) -> dict[str, Any]:
    """The Compose file, as a document (JSON is YAML); `folder` is what the image is built of.

    Both containers see the state directory where they need it, so that the stream, key, settings and inbox lie where
    the other runtimes have them. With a NATS of somebody else's there is only the sidecar.
    """
    services = {"sidecar": _sidecar(settings, folder)}
    if settings.nats.managed:
        services = {"nats": _nats(settings, folder), **services}
        services["sidecar"]["depends_on"] = {"nats": {"condition": "service_healthy"}}
    return {"services": services}


def _nats(settings: Settings, folder: Path) -> dict[str, Any]:
    ports = [f"127.0.0.1:{settings.nats_address[1]}:4222"]
    certificate: list[Any] = []
    if settings.mqtt.port:
        ports.append(f"{host_port(settings.mqtt.host, settings.mqtt.port)}:{MQTT_PORT}")
        if settings.sidecar_speaks_tls:
            files = (settings.sidecar.tls_certificate, settings.sidecar.tls_key)
            certificate = [
                _bind(Path(path), inside, read_only=True) for path, inside in zip(files, MQTT_TLS, strict=True)
            ]
    return {
        **_closed(folder),
        "command": ["openclaw_nats.service.nats_binary", "-c", f"{STATE}/nats-server.conf"],
        "ports": ports,
        "volumes": [
            *certificate,
            _bind(folder / "nats-server.conf", f"{STATE}/nats-server.conf", read_only=True),
            _bind(settings.home / "jetstream", f"{STATE}/jetstream"),
            _bind(settings.home / "logs", f"{STATE}/logs"),
        ],
        "healthcheck": _health(_CHECK_NATS),
    }


def _sidecar(settings: Settings, folder: Path) -> dict[str, Any]:
    environment = {
        "OPENCLAW_STATE_DIR": "/state",
        "OPENCLAW_NATS_NATS_MANAGED": "false",
        "OPENCLAW_NATS_SIDECAR_HOST": "0.0.0.0",  # noqa: S104  (inside the container; published on loopback only)
        "OPENCLAW_NATS_SIDECAR_PORT": "3104",
        "OPENCLAW_NATS_SIDECAR_PLAIN_HTTP": "true",  # as the host above
        "OPENCLAW_NATS_GATEWAY_URL": _from_inside(settings.gateway.url),
        "OPENCLAW_NATS_GATEWAY_PUBLIC_URL": settings.gateway_page,
        "OPENCLAW_NATS_GATEWAY_ID": settings.gateway_id,
        "OPENCLAW_NATS_NATS_URL": "nats://nats:4222",
    }
    if settings.nats.managed and settings.mqtt.port:
        environment |= {"OPENCLAW_NATS_MQTT_HOST": "nats", "OPENCLAW_NATS_MQTT_PORT": str(MQTT_PORT)}
    volumes = [_bind(settings.home, STATE)]
    if not settings.nats.managed:
        environment["OPENCLAW_NATS_NATS_URL"] = _from_inside(settings.nats.url)
    for name in _CREDENTIALS:
        if path := str(value_of(settings, name)):
            inside = f"{STATE}/{Path(path).name}"
            if Path(path).parent != settings.home:
                inside = f"/credentials/{Path(path).name}"
                if any(inside == one for one in environment.values()):  # two files of one name, in two folders
                    inside = f"/credentials/{name}/{Path(path).name}"
                volumes.append(_bind(Path(path), inside, read_only=True))
            environment[find(name).variable] = inside
    return {
        **_closed(folder),
        "command": ["openclaw_nats.service.sidecar"],
        "environment": environment,
        "ports": [f"127.0.0.1:{settings.sidecar.port}:3104"],
        "volumes": volumes,
        "extra_hosts": ["host.docker.internal:host-gateway"],
        "healthcheck": _health(_CHECK_BY_TLS if settings.sidecar_speaks_tls else _CHECK_SIDECAR),
    }


def _closed(folder: Path) -> dict[str, Any]:
    """What both have: our image, the user who set it up, nothing to write to, no rights."""
    return {
        "build": {"context": str(folder)},
        "image": f"openclaw-nats:{openclaw_nats.__version__}",
        "user": f"{os.getuid()}:{os.getgid()}",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108  (inside the container)
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "logging": {"driver": "json-file", "options": {"max-size": "5m", "max-file": "3"}},
    }


def _bind(source: Path, target: str, *, read_only: bool = False) -> Any:
    """A volume; in Compose's long form where a colon in the path would end it in the short one."""
    if ":" not in str(source):
        return f"{source}:{target}" + (":ro" if read_only else "")
    return {"type": "bind", "source": str(source), "target": target, "read_only": read_only}


def _from_inside(url: str) -> str:
    """An address of this machine's as a container reaches it."""
    return re.sub(r"(//|@|,)(127\.0\.0\.1|localhost)\b", r"\1host.docker.internal", url)


def _health(script: str) -> dict[str, Any]:
    return {
        "test": ["CMD", "python", "-c", script],
        "interval": "10s",
        "timeout": "5s",
        "retries": 5,
        "start_period": "10s",
    }


def text_of(document: dict[str, Any]) -> str:
    """The document as a file. Compose replaces `$NAME` in every text: `$$` is a dollar sign.

    Not in ASCII: YAML has no pairs of surrogates.
    """
    return json.dumps(_without_variables(document), indent=1, ensure_ascii=False) + "\n"


def _without_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_variables(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_variables(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
