"""A private Gateway process: its own state and home, loopback only, the scripted model, started and stopped here."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats.demo.provision import OpenClawPrefix
from openclaw_nats.demo.scripted_model import MODEL
from openclaw_nats.errors import SetupError
from openclaw_nats.port_holder import free_port

_READY_SECONDS = 600.0
_SILENT_SECONDS = 120.0
_STOP_SECONDS = 30.0


@dataclass
class Gateway:
    """One private Gateway. `config` is merged into its configuration before the first start."""

    prefix: OpenClawPrefix
    state: Path
    plugin_paths: list[Path] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    model_port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    hook_token: str = field(default_factory=lambda: secrets.token_hex(16))
    process: subprocess.Popen[bytes] | None = None
    model: subprocess.Popen[bytes] | None = None

    @property
    def old(self) -> bool:
        """Whether it speaks as Gateways before 2026.4 did."""
        return tuple(map(int, self.prefix.version.split(".")[:2])) < (2026, 4)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config_path(self) -> Path:
        """Its configuration file."""
        return self.state / "openclaw.json"

    @property
    def model_log(self) -> Path:
        """What the model was asked, a JSON line a request."""
        return self.state / "model.jsonl"

    def env(self) -> dict[str, str]:
        """The environment in which `openclaw` and `openclaw-nats` work on this Gateway."""
        home = self.state / "home"
        home.mkdir(parents=True, exist_ok=True)
        return (
            {name: value for name, value in os.environ.items() if not name.startswith(("OPENCLAW_", "NATS_"))}
            | {
                "PATH": f"{self.prefix.bin}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(home),
                "OPENCLAW_STATE_DIR": str(self.state),
                "OPENCLAW_CONFIG_PATH": str(self.config_path),
                "OPENCLAW_DISABLE_BONJOUR": "1",
                "OPENCLAW_SKIP_GMAIL_WATCHER": "1",
                # 2026.4 installs what its plugins need when they are used: once for all Gateways of this prefix.
                "OPENCLAW_PLUGIN_STAGE_DIR": str(self.prefix.path / "plugin-runtime-deps"),
            }
            | self.environment
        )

    def write_config(self) -> None:
        """Write its configuration, unless there is one."""
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.config_path.exists():
            return
        model = {
            "id": MODEL,
            "name": "Scripted",
            "reasoning": False,
            "input": ["text"],
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
            "contextWindow": 128_000,
            "maxTokens": 4096,
        }
        provider = {
            "baseUrl": f"http://127.0.0.1:{self.model_port}/v1",
            "apiKey": "not-needed",
            "api": "openai-completions",
            "models": [model],
        }
        entry: dict[str, Any] = {"enabled": True, "config": {"home": str(self.state / "nats")}}
        if not self.old:
            entry["hooks"] = {"allowConversationAccess": True}
        config: dict[str, Any] = {
            "gateway": {
                "mode": "local",
                "port": self.port,
                "bind": "loopback",
                "auth": {"mode": "token", "token": self.token},
            },
            "hooks": {"enabled": True, "token": self.hook_token, "path": "/hooks"},
            "models": {"mode": "merge", "providers": {"scripted": provider}},
            "agents": {
                "defaults": {
                    "model": {"primary": f"scripted/{MODEL}"},
                    "workspace": str(self.state / "workspace"),
                    "heartbeat": {"every": "0m"},
                }
            },
            "plugins": {"load": {"paths": [str(path) for path in self.plugin_paths]}, "entries": {}},
        }
        if self.prefix.version.startswith("2026.9"):
            # Nothing to remember, and its index is a fifth of what start and first turn take.
            config["memory"] = {"search": {"enabled": False}}
        if self.plugin_paths:
            config["plugins"]["entries"]["openclaw-nats"] = entry
        self.config_path.write_text(json.dumps(_merge(config, self.config), indent=1))
        self.config_path.chmod(0o600)

    def start(self) -> None:
        """Start model and Gateway and wait until it takes requests; raise SetupError with its last words."""
        self.begin()
        self.wait_ready()

    def begin(self) -> None:
        """Start model and Gateway without waiting."""
        self.write_config()
        if self.model is None or self.model.poll() is not None:
            command = [sys.executable, "-m", "openclaw_nats.demo.scripted_model", str(self.model_port)]
            self.model = subprocess.Popen([*command, str(self.model_log)], start_new_session=True)
        with (self.state / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.prefix.openclaw), "gateway", "run", "--port", str(self.port)],
                env=self.env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the Gateway answers its health endpoints.

        A busy machine may take it minutes: it has failed when it has ended, or written nothing into its log for long.
        """
        log = self.state / "gateway.log"
        began = said = time.monotonic()
        size = 0
        while (now := time.monotonic()) < min(said + _SILENT_SECONDS, began + _READY_SECONDS):
            if self.process is not None and self.process.poll() is not None:
                break
            if self._answers("/readyz"):
                return
            if (grown := log.stat().st_size) != size:
                size, said = grown, now
            time.sleep(0.1)
        raise SetupError(f"the Gateway did not become ready: {log.read_text(errors='replace')[-1500:]}")

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the Gateway and everything that it started."""
        _end(self.process, number)
        self.process = None

    def close(self) -> None:
        """Stop the Gateway and the model."""
        self.stop()
        _end(self.model, signal.SIGKILL)
        self.model = None

    def _answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _end(process: subprocess.Popen[bytes] | None, number: int) -> None:
    if process is None:
        return
    try:
        os.killpg(process.pid, number)
        process.wait(_STOP_SECONDS)
    except ProcessLookupError:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged
