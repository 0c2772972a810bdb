"""An installation as an operator has it: `openclaw-nats up` in a state directory, and the commands for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from openclaw_nats.port_holder import free_port
from tests.support.processes import Sidecar, wait_until


class Installation:
    """`openclaw-nats start` with a NATS of its own, in a state directory of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.home = state / "nats"
        self.ports = {"sidecar": free_port(), "nats": free_port()}
        names = ("OPENCLAW_", "NATS_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(names)}
        self.environment |= {"OPENCLAW_STATE_DIR": str(state), "HOME": str(state)}
        self.up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run `up`; the ports are given the first time."""
        self.state.mkdir(parents=True, exist_ok=True)
        first = (
            []
            if (self.home / "config.toml").exists()
            else ["--sidecar-port", str(self.ports["sidecar"]), "--nats-port", str(self.ports["nats"])]
        )
        with (self.state / "up.out").open("ab") as log:
            command = [sys.executable, "-m", "openclaw_nats", "up", *first]
            self.up = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self.sidecar.get("/api/health", key="")[0] == 200, 30, "the sidecar")

    def stop(self) -> None:
        """Stop it."""
        if self.up is not None:
            self.up.terminate()
            self.up.wait(30)
            self.up = None

    @property
    def sidecar(self) -> Sidecar:
        """Its API, with its own key."""
        one = Sidecar.__new__(Sidecar)
        one.port, one.home, one.url = self.ports["sidecar"], self.home, f"http://127.0.0.1:{self.ports['sidecar']}"
        key = (self.home / "api-key").read_text().strip()
        send = one.request

        def request(*arguments: Any, **more: Any) -> Any:
            more.setdefault("key", key)
            return send(*arguments, **more)

        one.request = request  # type: ignore[method-assign]
        one.get = lambda path, key=key: (lambda answer: (answer[0], json.loads(answer[2]) if answer[2] else None))(
            request("GET", path, key=key)
        )  # type: ignore[method-assign]
        return one

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command; its output is text."""
        command = [sys.executable, "-m", "openclaw_nats", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120, check=False)

    def run(self, *arguments: str, code: int = 0) -> Any:
        """A command, its JSON."""
        done = self.command(*arguments, "--json")
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return json.loads(done.stdout)
