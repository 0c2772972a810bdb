"""Running nats-server and the sidecar by Docker Compose, in an image that is built from this very package."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path

import openclaw_nats
from openclaw_nats.errors import SetupError
from openclaw_nats.installer.commands import ended
from openclaw_nats.installer.compose_file import MQTT_PORT, MQTT_TLS, STATE, compose, text_of
from openclaw_nats.locations import Locations
from openclaw_nats.service.files import write_private
from openclaw_nats.service.nats_config import render
from openclaw_nats.settings import Settings, load

_UP_SECONDS = 900.0
_LOOK_SECONDS = 4.0  # each of two: less than a diagnosis waits for both
_TEMPLATES = Path(__file__).with_name("container")


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

    @staticmethod
    def required() -> list[str]:
        """The command for Compose; raise SetupError when there is none."""
        command = _compose_command()
        if command is None:
            raise SetupError(
                "Docker with Compose is not here", hint="Install it, or run `openclaw-nats setup --runtime local`."
            )
        return command

    def install(self) -> bool:
        """Write the files that the image and the containers are made of; True when something changed."""
        settings = load(self._where.home)
        before = _fingerprint(self.folder)
        for folder in (self.folder, self._where.jetstream, self._where.logs):  # made by Docker they would be root's
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(_TEMPLATES / "Dockerfile", self.folder / "Dockerfile")
        shutil.copyfile(requirements(), self.folder / "requirements.lock")
        package = self.folder / "openclaw_nats"
        shutil.rmtree(package, ignore_errors=True)
        source = Path(openclaw_nats.__file__).parent
        shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "demo", "*.pyc"))
        (self.folder / ".dockerignore").write_text("**/__pycache__\ncompose.yml\nnats-server.conf\n")
        if settings.nats.managed:
            write_private(self.folder / "nats-server.conf", _nats_config(settings))
        write_private(self.file, text_of(compose(settings, self.folder)))
        return _fingerprint(self.folder) != before

    def reload_nats(self) -> None:
        """Give nats-server its users anew. The file stays the same one: it is mounted by itself."""
        config = self.folder / "nats-server.conf"
        if not config.exists():
            return
        config.write_text(_nats_config(load(self._where.home)))
        if self.running():
            self._compose("kill", "--signal", "HUP", "nats")

    def start(self) -> None:
        """Build the image if need be, and start both containers."""
        self._compose("up", "--detach", "--build", "--remove-orphans")

    def stop(self) -> None:
        """Stop both containers."""
        if self.file.exists():
            self._compose("stop")

    def remove(self) -> None:
        """Remove the containers; what they wrote is in the state directory, and stays."""
        if self.file.exists():
            self._compose("down")

    def purge(self) -> None:
        """Remove the image, too."""
        if self.file.exists():
            self._compose("down", "--rmi", "all")

    def running(self) -> bool:
        """Whether the sidecar's container runs."""
        if not self.file.exists() or not self.available():
            return False
        return "sidecar" in self._compose("ps", "--services", "--filter", "status=running").split()

    def _compose(self, *arguments: str) -> str:
        project = ["--file", str(self.file), "--project-name", project_name(self._where)]
        done = ended([*self.required(), *project, *arguments], _UP_SECONDS, hint="Is the Docker engine running?")
        if done.returncode != 0:
            raise SetupError(
                f"`docker compose {arguments[0]}` failed: {(done.stderr or done.stdout).strip()[-500:]}",
                hint=f"Is the Docker engine running? Its file is {self.file}.",
            )
        return done.stdout


def _nats_config(settings: Settings) -> str:
    """nats-server's configuration in its container, where only what is published is reached from outside."""
    every = "0.0.0.0"  # noqa: S104
    return render(settings, listen=f"{every}:4222", mqtt_listen=f"{every}:{MQTT_PORT}", home=Path(STATE), tls=MQTT_TLS)


def requirements() -> Path:
    """Our locked requirements: inside the installed package, or in the checkout."""
    here = Path(openclaw_nats.__file__).parent
    for path in (here / "requirements.lock", here.parent.parent / "requirements.lock"):
        if path.is_file():
            return path
    raise SetupError("requirements.lock is missing from this installation")


def project_name(where: Locations) -> str:
    """A name for Compose that distinguishes installations."""
    return "openclaw-nats-" + hashlib.sha256(str(where.home).encode()).hexdigest()[:8]


def _compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        with contextlib.suppress(SetupError):  # one that does not answer can't run anything
            if ended([*command, "version"], _LOOK_SECONDS).returncode == 0:
                return command
    return None


def _fingerprint(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder.exists() else []:
        if path.is_file():
            total.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return total.hexdigest()
