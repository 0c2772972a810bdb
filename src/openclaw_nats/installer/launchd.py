"""Running `openclaw-nats up` by macOS' launchd, as an agent of the user.

Only keys that launchd.plist(5) documents are used. No Mac was at hand: the file is generated and checked here, and the
commands are those that launchctl(1) documents; whoever runs it on one is asked to tell how it went.
"""

from __future__ import annotations

import hashlib
import os
import plistlib
import shutil
import sys
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.commands import ended
from openclaw_nats.installer.passed_on import environment_of
from openclaw_nats.locations import Locations
from openclaw_nats.service.supervisor_lock import running_pid

_LOOK_SECONDS = 8.0  # less than a diagnosis waits for it
_ACT_SECONDS = 60.0


class Launchd:
    """One launch agent. Its label distinguishes installations in other state directories."""

    kind = "launchd"

    def __init__(self, where: Locations) -> None:
        self._where = where
        default = Path.home() / ".openclaw" / "nats"
        suffix = "" if where.home == default else "." + hashlib.sha256(str(where.home).encode()).hexdigest()[:8]
        self.label = f"ai.openclaw.nats-bus{suffix}"
        self.path = Path.home() / "Library" / "LaunchAgents" / f"{self.label}.plist"

    @staticmethod
    def available() -> bool:
        """Whether this is a Mac with launchctl."""
        return sys.platform == "darwin" and shutil.which("launchctl") is not None

    def document(self) -> dict[str, Any]:
        """The property list."""
        environment = environment_of(self._where) | {"PATH": os.environ.get("PATH", os.defpath)}
        log = str(self._where.logs / "up.log")
        return {
            "Label": self.label,
            "ProgramArguments": [sys.executable, "-m", "openclaw_nats", "up", "--quiet"],
            "EnvironmentVariables": environment,
            "RunAtLoad": True,
            "KeepAlive": True,
            "ThrottleInterval": 5,
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }

    def install(self) -> bool:
        """Write the property list; True when it changed."""
        text = plistlib.dumps(self.document())
        if self.path.exists() and self.path.read_bytes() == text:
            return False
        self._where.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(text)
        if self._is_loaded():
            self._launchctl("bootout", self._service)
        return True

    def start(self) -> None:
        """Load the agent if need be, and start it."""
        if not self._is_loaded():
            self._launchctl("bootstrap", self._domain, str(self.path))
        self._launchctl("kickstart", self._service)

    def stop(self) -> None:
        """Unload the agent, which ends it; it would start again otherwise."""
        if self._is_loaded():
            self._launchctl("bootout", self._service)

    def running(self) -> bool:
        """Whether `up` runs."""
        return running_pid(self._where) is not None

    def remove(self) -> None:
        """Stop the agent and delete its property list."""
        self.stop()
        self.path.unlink(missing_ok=True)

    @property
    def _domain(self) -> str:
        return f"gui/{os.getuid()}"

    @property
    def _service(self) -> str:
        return f"{self._domain}/{self.label}"

    def _is_loaded(self) -> bool:
        return ended(["launchctl", "print", self._service], _LOOK_SECONDS).returncode == 0

    def _launchctl(self, *arguments: str) -> None:
        done = ended(["launchctl", *arguments], _ACT_SECONDS)
        if done.returncode != 0:
            raise SetupError(
                f"`launchctl {' '.join(arguments)}` failed: {done.stderr.strip()[-300:]}",
                hint=f"`launchctl print {self._service}` and {self._where.logs / 'up.log'} say more.",
            )
