"""Running `openclaw-nats up` in the background: by systemd or launchd where there is one, else a detached process."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.commands import ended
from openclaw_nats.installer.docker import DockerCompose
from openclaw_nats.installer.launchd import Launchd
from openclaw_nats.installer.passed_on import environment_of
from openclaw_nats.locations import Locations
from openclaw_nats.service.quoting import systemd_command, systemd_text, systemd_word
from openclaw_nats.service.supervisor_lock import running_pid

_START_SECONDS = 10.0
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 8.0  # less than a diagnosis waits for it
_ACT_SECONDS = 60.0

# Only what needs no mount namespace: a user's systemd can't make one where the kernel keeps user namespaces from users,
# and the unit would not start there.
UNIT = """\
[Unit]
Description={description}
After=network.target

[Service]
ExecStart={command}
{environment}Restart=always
RestartSec=2
KillMode=mixed
TimeoutStopSec=30
NoNewPrivileges=yes
LockPersonality=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
UMask=0077

[Install]
WantedBy=default.target
"""


class SystemdUser:
    """A unit of the user's systemd. Its name distinguishes installations in other state directories."""

    kind = "systemd"

    def __init__(self, where: Locations) -> None:
        self._where = where
        default = Path.home() / ".openclaw" / "nats"
        suffix = "" if where.home == default else "-" + hashlib.sha256(str(where.home).encode()).hexdigest()[:8]
        # Not openclaw-nats.service: the tool that this one replaces has a unit of that name.
        self.unit = f"openclaw-nats-bus{suffix}.service"
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self.path = base / "systemd" / "user" / self.unit

    @staticmethod
    def available() -> bool:
        """Whether a systemd user manager answers."""
        if sys.platform != "linux" or not shutil.which("systemctl"):
            return False
        try:
            return ended(["systemctl", "--user", "show-environment"], _LOOK_SECONDS).returncode == 0
        except SetupError:
            return False  # what does not answer starts nothing for us

    def text(self) -> str:
        """The unit file's text."""
        values = environment_of(self._where)
        return UNIT.format(
            description=systemd_text(f"openclaw-nats: event bus for OpenClaw ({self._where.home})"),
            command=systemd_command([sys.executable, "-m", "openclaw_nats", "up", "--quiet"]),
            environment="".join(f"Environment={systemd_word(f'{name}={value}')}\n" for name, value in values.items()),
        )

    def install(self) -> bool:
        """Write the unit; True when it changed."""
        text = self.text().encode("utf-8", "surrogateescape")
        if self.path.exists() and self.path.read_bytes() == text:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(text)
        self._systemctl("daemon-reload")
        self._systemctl("enable", self.unit)
        return True

    def read_again(self) -> None:
        """The unit's file was changed by somebody else than `install`."""
        self._systemctl("daemon-reload")

    def start(self) -> None:
        """Start the unit."""
        self._systemctl("start", self.unit)

    def stop(self) -> None:
        """Stop the unit."""
        self._systemctl("stop", self.unit)

    def running(self) -> bool:
        """Whether `up` runs."""
        return running_pid(self._where) is not None

    def remove(self) -> None:
        """Stop the unit and delete it."""
        if self.path.exists():
            self._systemctl("disable", "--now", self.unit)
            self.path.unlink()
            self._systemctl("daemon-reload")

    def _systemctl(self, *arguments: str) -> None:
        hint = "Is systemd's user manager stopped, or the machine overloaded? `systemctl --user status` shows it."
        done = ended(["systemctl", "--user", *arguments], _ACT_SECONDS, hint=hint)
        if done.returncode != 0:
            raise SetupError(
                f"`systemctl --user {' '.join(arguments)}` failed: {done.stderr.strip()[-300:]}",
                hint=f"`journalctl --user -u {self.unit}` shows its log.",
            )


class Detached:
    """A process of its own session, for containers and hosts without a user systemd. It does not survive a reboot."""

    kind = "detached"

    def __init__(self, where: Locations) -> None:
        self._where = where

    def install(self) -> bool:
        """There is nothing to install."""
        return False

    def start(self) -> None:
        """Start `up` in the background and return when it holds its lock; raise SetupError with its last words."""
        if running_pid(self._where) is not None:
            return
        self._where.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        log_path = self._where.logs / "up.log"
        with log_path.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "openclaw_nats", "up", "--quiet"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        deadline = time.monotonic() + _START_SECONDS
        try:
            while time.monotonic() < deadline:
                if running_pid(self._where) is not None:
                    return
                if process.poll() is not None:
                    break
                time.sleep(0.05)
        except BaseException:  # Ctrl-C: what is not known to run yet would be found by nobody
            _end(process)
            raise
        _end(process)
        with log_path.open("rb") as log:
            log.seek(begin)
            words = log.read().decode("utf-8", "replace").strip()
        raise SetupError(f"openclaw-nats did not start: {words[-500:] or 'no message'}", hint=f"See {log_path}.")

    def stop(self) -> None:
        """Stop it and wait until it has gone."""
        pid = running_pid(self._where)
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while running_pid(self._where) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += _STOP_SECONDS
            time.sleep(0.05)

    def running(self) -> bool:
        """Whether `up` runs."""
        return running_pid(self._where) is not None

    def remove(self) -> None:
        """Stop it."""
        self.stop()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours that is of no use."""
    if process.poll() is None:
        process.terminate()
        process.wait(_STOP_SECONDS)


Service = SystemdUser | Launchd | Detached | DockerCompose
# How each kind is named to people, with why it is that one.
WORDS = {
    "systemd": "a systemd user unit (systemd runs for you here)",
    "launchd": "a launch agent (this is macOS)",
    "docker": "containers, by Docker Compose (chosen by --runtime)",
    "detached": "a background process (neither systemd for users nor launchd is here; it does not survive a reboot)",
}


def service_for(where: Locations, kind: str = "") -> Service:
    """The service of this installation: of the kind recorded at setup, else what this machine has."""
    if kind == "systemd" or (not kind and SystemdUser.available()):
        return SystemdUser(where)
    if kind == "docker":
        return DockerCompose(where)
    if kind == "launchd" or (not kind and Launchd.available()):
        return Launchd(where)
    return Detached(where)
