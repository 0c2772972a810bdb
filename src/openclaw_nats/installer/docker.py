"""Running nats-server and the sidecar by Docker Compose, in an image that is built from this very package.

The state directory is mounted, so that key, settings and inbox lie where the plugin and the commands look for them; the
stream has a volume of its own. Nothing is published beyond loopback; both containers run as the user who set it up,
with a read-only root, without capabilities.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openclaw_nats
from openclaw_nats.errors import SetupError
from openclaw_nats.service.files import write_private
from openclaw_nats.service.locations import Locations
from openclaw_nats.service.nats_config import MAX_PAYLOAD, USER
from openclaw_nats.settings import Settings, load

STATE = "/state/nats"
_UP_SECONDS = 900.0
_TEMPLATES = Path(__file__).with_name("container")
_CHECK_NATS = "import socket; assert socket.create_connection(('127.0.0.1', 4222), 3).recv(4) == b'INFO'"
_CHECK_SIDECAR = "import urllib.request as r; r.urlopen('http://127.0.0.1:3104/api/health', timeout=3)"


class DockerCompose:
    """The two containers of one installation."""

    kind = "docker"

    def __init__(self, where: Locations) -> None:
        self._where = where
        self.folder = where.home / "docker"
        self.file = self.folder / "compose.yml"

    @staticmethod
    def available() -> bool:
        """Whether Docker with Compose answers on this machine."""
        return _compose_command() is not None

    def install(self) -> bool:
        """Write the files that the image and the containers are made of; True when something changed."""
        settings = load(self._where.home)
        before = _fingerprint(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(_TEMPLATES / "Dockerfile", self.folder / "Dockerfile")
        shutil.copyfile(requirements(), self.folder / "requirements.lock")
        package = self.folder / "openclaw_nats"
        shutil.rmtree(package, ignore_errors=True)
        source = Path(openclaw_nats.__file__).parent
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "demo", "*.pyc"))
        (self.folder / ".dockerignore").write_text("**/__pycache__\ncompose.yml\nnats-server.conf\n")
        write_private(self.folder / "nats-server.conf", nats_config(settings))
        write_private(self.file, json.dumps(compose(settings, self.folder), indent=1) + "\n")
        return _fingerprint(self.folder) != before

    def start(self) -> None:
        """Build the image if need be, and start both containers."""
        self._where.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._compose("up", "--detach", "--build", "--remove-orphans")

    def start_nats(self) -> None:
        """Start only the container of nats-server, and wait until it is well."""
        self._compose("up", "--detach", "--build", "nats")

    def stop(self) -> None:
        """Stop both containers."""
        if self.file.exists():
            self._compose("stop")

    def remove(self) -> None:
        """Remove the containers; the volume with the stream stays, as all events do without --purge."""
        if self.file.exists():
            self._compose("down")

    def purge(self) -> None:
        """Remove the volume and the image, too."""
        if self.file.exists():
            self._compose("down", "--volumes", "--rmi", "local")

    def running(self) -> bool:
        """Whether the sidecar's container runs."""
        if not self.file.exists() or not self.available():
            return False
        return bool(self._compose("ps", "--quiet", "sidecar").strip())

    def _compose(self, *arguments: str) -> str:
        command = _compose_command()
        if command is None:
            raise SetupError(
                "Docker with Compose is not here", hint="Install it, or run `openclaw-nats setup --runtime local`."
            )
        try:
            done = subprocess.run(
                [*command, "--file", str(self.file), "--project-name", project_name(self._where), *arguments],
                capture_output=True,
                text=True,
                timeout=_UP_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"`docker compose {arguments[0]}` did not end: {error}") from None
        if done.returncode != 0:
            raise SetupError(
                f"`docker compose {arguments[0]}` failed: {(done.stderr or done.stdout).strip()[-500:]}",
                hint=f"Is the Docker engine running? Its file is {self.file}.",
            )
        return done.stdout


def compose(settings: Settings, folder: Path) -> dict[str, Any]:
    """The Compose file, as a document: JSON is YAML."""
    nats_port = urlsplit(settings["nats.url"].split(",")[0]).port or 4222
    common = {
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
    environment = {
        "OPENCLAW_STATE_DIR": "/state",
        "OPENCLAW_NATS_NATS_URL": "nats://nats:4222",
        "OPENCLAW_NATS_NATS_MANAGED": "false",
        "OPENCLAW_NATS_NATS_PASSWORD_FILE": f"{STATE}/nats-password",
        "OPENCLAW_NATS_SIDECAR_HOST": "0.0.0.0",  # noqa: S104  (inside the container; published on loopback only)
        "OPENCLAW_NATS_SIDECAR_PORT": "3104",
        "OPENCLAW_NATS_GATEWAY_URL": re.sub(
            r"//(127\.0\.0\.1|localhost)\b", "//host.docker.internal", settings["gateway.url"]
        ),
        "OPENCLAW_NATS_GATEWAY_ID": settings.gateway_id,
    }
    return {
        "services": {
            "nats": {
                **common,
                "command": ["openclaw_nats.service.nats_binary", "-c", "/etc/nats-server.conf"],
                "ports": [f"127.0.0.1:{nats_port}:4222"],
                "volumes": [f"{folder}/nats-server.conf:/etc/nats-server.conf:ro", "jetstream:/data"],
                "healthcheck": _health(_CHECK_NATS),
            },
            "sidecar": {
                **common,
                "command": ["openclaw_nats.service.sidecar"],
                "environment": environment,
                "ports": [f"127.0.0.1:{settings['sidecar.port']}:3104"],
                "volumes": [f"{settings.home}:{STATE}"],
                "extra_hosts": ["host.docker.internal:host-gateway"],
                "depends_on": {"nats": {"condition": "service_healthy"}},
                "healthcheck": _health(_CHECK_SIDECAR),
            },
        },
        "volumes": {"jetstream": {}},
    }


def nats_config(settings: Settings) -> str:
    """The configuration of the nats-server in its container: it listens for the other one, with the password."""
    password = settings.nats_password()
    if not password:
        raise SetupError("the nats-server has no password", hint="Run `openclaw-nats setup`, which makes one.")
    sync = "always" if settings["durability"] == "always" else "2m"
    quoted = json.dumps
    return (
        "# Written by openclaw-nats setup; change config.toml instead.\n"
        'listen: "0.0.0.0:4222"\n'
        f"max_payload: {MAX_PAYLOAD}\n"
        f"authorization: {{ user: {quoted(settings['nats.user'] or USER)}, password: {quoted(password)} }}\n"
        f'jetstream: {{ store_dir: "/data", sync_interval: {sync}, max_memory_store: 64MB }}\n'
    )


def _health(script: str) -> dict[str, Any]:
    return {
        "test": ["CMD", "python", "-c", script],
        "interval": "10s",
        "timeout": "5s",
        "retries": 5,
        "start_period": "10s",
    }


def requirements() -> Path:
    """Our locked requirements: inside the installed package, or in the checkout."""
    here = Path(openclaw_nats.__file__).parent
    for path in (here / "requirements.lock", here.parent.parent / "requirements.lock"):
        if path.is_file():
            return path
    raise SetupError("requirements.lock is missing from this installation")


def project_name(where: Locations) -> str:
    """A name for Compose that tells installations apart."""
    return "openclaw-nats-" + hashlib.sha256(str(where.home).encode()).hexdigest()[:8]


def _compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "version"], capture_output=True, timeout=30, check=False)
        if done.returncode == 0:
            return command
    return None


def _fingerprint(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()
