"""Where the older plugin is on this machine: its database, its environment, its services, its entry in OpenClaw."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SetupError
from openclaw_nats.installer.commands import ended
from openclaw_nats.installer.openclaw import OpenClaw

PLUGIN_ID = "openclaw-nats-plugin"
FOLDER = "nats-plugin"
_DATABASES = ("sidecar/data/nats-sidecar.db", "data/nats-sidecar.db")
_UNITS = ("openclaw-nats-sidecar.service", "openclaw-nats.service")
_LABELS = ("com.openclaw.nats-sidecar", "com.openclaw.nats")
_VARIABLES = ("NATS_SIDECAR_URL", "NATS_PLUGIN_API_KEY", "NATS_SERVERS", "OPENCLAW_GATEWAY_URL", "OPENCLAW_HOOK_TOKEN")


@dataclass(frozen=True)
class Older:
    """One installation of it: `folder` is its state, `environment` what it wrote into OpenClaw's `.env`."""

    folder: Path
    database: Path
    environment_file: Path
    environment: dict[str, str]

    @property
    def nats_url(self) -> str:
        """Its NATS."""
        return self.environment.get("NATS_SERVERS", "nats://127.0.0.1:4222")


def find(state_dir: Path, database: Path | None) -> Older:
    """The installation next to this OpenClaw; raise SetupError when there is none."""
    folder = state_dir / FOLDER
    file = state_dir / ".env"
    environment = read_environment(file)
    candidates = [database] if database is not None else [folder / name for name in _DATABASES]
    if database is None and (given := os.environ.get("DB_PATH")):
        candidates.insert(0, Path(given))
    found = next((path for path in candidates if path is not None and path.is_file()), None)
    if found is None:
        looked = ", ".join(str(path) for path in candidates)
        raise SetupError(
            f"no database of openclaw-nats-plugin was found (looked at {looked})",
            hint="Name it with --database. Of its Docker runtime: `docker cp` it out of the volume first.",
        )
    return Older(folder, found, file, environment)


def read_environment(file: Path) -> dict[str, str]:
    """The variables of that plugin in a `.env` file; empty when there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        match = re.match(r"\s*(?:export\s+)?([A-Z_]+)\s*=\s*(.*?)\s*$", line)
        if match and match[1] in _VARIABLES:
            found[match[1]] = match[2].strip("'\"")
    return found


def services(older: Older) -> list[str]:
    """What of it runs or would start by itself: `systemd <unit>`, `launchd <label>`, `process <pid>`, `docker`."""
    found = [f"systemd {path.name}" for path in _unit_files() if _is_theirs(path)]
    agents = Path.home() / "Library" / "LaunchAgents"
    found += [f"launchd {label}" for label in _LABELS if (agents / f"{label}.plist").exists()]
    found += [f"process {pid}" for pid in _pids(older.folder / "pids")]
    if (older.folder / "docker" / "docker-compose.yml").exists():
        found.append("docker")
    return found


def stop(older: Older, which: list[str]) -> None:
    """Stop services, so that they do not start again by themselves; raise SetupError."""
    for one in which:
        kind, _, name = one.partition(" ")
        if kind == "systemd":
            _run("systemctl", "--user", "disable", "--now", name)
        elif kind == "launchd":
            _run("launchctl", "unload", "-w", str(Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"))
        elif kind == "docker":
            _run("docker", "compose", "-f", str(older.folder / "docker" / "docker-compose.yml"), "stop")
        elif int(name) in _pids(older.folder / "pids"):
            os.kill(int(name), signal.SIGTERM)


def start(older: Older, which: list[str]) -> list[str]:
    """Start again what was stopped; what can't be started from here is returned."""
    left = []
    for one in which:
        kind, _, name = one.partition(" ")
        if kind == "systemd":
            _run("systemctl", "--user", "enable", "--now", name)
        elif kind == "launchd":
            _run("launchctl", "load", "-w", str(Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"))
        elif kind == "docker":
            _run("docker", "compose", "-f", str(older.folder / "docker" / "docker-compose.yml"), "start")
        else:
            left.append(one)
    return left


def plugin_is_enabled(openclaw: OpenClaw) -> bool:
    """Whether OpenClaw would load it."""
    entries: dict[str, Any] = openclaw.config().get("plugins", {}).get("entries", {})
    installed = (openclaw.state_dir / "extensions" / PLUGIN_ID).is_dir()
    return (installed or PLUGIN_ID in entries) and entries.get(PLUGIN_ID, {}).get("enabled", True) is not False


def set_plugin(openclaw: OpenClaw, *, enabled: bool) -> None:
    """Let OpenClaw load it, or not."""
    openclaw.set_config(f"plugins.entries.{PLUGIN_ID}.enabled", enabled)


def _unit_files() -> list[Path]:
    if sys.platform != "linux" or not shutil.which("systemctl"):
        return []
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
    return [base / name for name in _UNITS if (base / name).exists()]


def _is_theirs(unit: Path) -> bool:
    return FOLDER in unit.read_text(errors="replace")


def _pids(folder: Path) -> list[int]:
    """Processes that it noted and that are still its own: a number may have been given to another program since."""
    found = []
    for path in sorted(folder.glob("*.pid")) if folder.is_dir() else []:
        text = path.read_text(errors="replace").strip()
        command = Path(f"/proc/{text}/cmdline")
        if text.isdigit() and command.exists() and FOLDER.encode() in command.read_bytes():
            found.append(int(text))
    return found


def _run(*command: str) -> None:
    done = ended(command, 120)
    if done.returncode != 0:
        raise SetupError(f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-300:]}")
