"""The demo: NATS, sidecar and a private Gateway come up, agents work, their events are printed as they are stored."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from openclaw_nats.demo.gateway import Gateway
from openclaw_nats.demo.gateway_client import GatewayClient, GatewayError, connected
from openclaw_nats.demo.provision import Progress, provision
from openclaw_nats.errors import SetupError
from openclaw_nats.plugin_files import plugin_dir
from openclaw_nats.port_holder import free_port

BURST = 20
TURNS = (
    ("a plain question", "What can you do?\n!say I can run tools, and every step of mine becomes an event."),
    ("a command that works", '!call exec {"command":"echo hello from the agent"}\n!say The command worked.'),
    ("a command that fails", '!call exec {"command":"exit 3"}\n!say The command failed with exit code 3.'),
    ("two tools in one turn", '!call exec {"command":"date"}\n!call read {"path":"AGENTS.md"}\n!say Read it.'),
    ("a model that fails", "!fail 400"),
)


class Demo:
    """The parts of one demo; `running` brings them up and takes them down again."""

    def __init__(self, version: str, progress: Progress, say: Callable[[str], None]) -> None:
        self._version = version
        self._progress = progress
        self._say = say
        self.home = Path()
        self.sidecar_url = ""
        self.environment: dict[str, str] = {}
        self.gateway: Gateway | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Gateway]:
        """Everything up, in a temporary folder that is deleted at the end, also after Ctrl-C."""
        prefix = provision(self._version, self._progress)
        folder = Path(tempfile.mkdtemp(prefix="openclaw-nats-demo-"))
        gateway = Gateway(prefix, folder / "openclaw", plugin_paths=[plugin_dir()])
        bus: subprocess.Popen[bytes] | None = None
        self.home, self.gateway, self.environment = gateway.state / "nats", gateway, gateway.env()
        try:
            self._say(f"starting NATS, the sidecar and a private OpenClaw Gateway {prefix.version}")
            gateway.write_config()
            bus = self._start_bus(gateway)
            gateway.start()
            yield gateway
        finally:
            gateway.close()
            if bus is not None:
                bus.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    bus.wait(20)
                if bus.poll() is None:
                    bus.kill()
            shutil.rmtree(folder, ignore_errors=True)

    def _start_bus(self, gateway: Gateway) -> subprocess.Popen[bytes]:
        port = free_port()
        self.sidecar_url = f"http://127.0.0.1:{port}"
        self.home.mkdir(parents=True, mode=0o700)
        ports = ["--sidecar-port", str(port), "--nats-port", str(free_port()), "--gateway-url", gateway.url]
        with (gateway.state / "up.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "openclaw_nats", "up", "--quiet", *ports],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


async def run_turns(gateway: Gateway, say: Callable[[str], None]) -> None:
    """Let the agent work: one turn after another, then a fresh session."""
    async with connected(gateway) as client:
        for what, message in TURNS:
            say(what)
            with contextlib.suppress(GatewayError):  # the failing model is part of the show
                await client.turn(message)
            await asyncio.sleep(0.4)
        say("/new")
        await _fresh_session(client)
        await asyncio.sleep(1.0)


async def wake_the_agent(demo: Demo, gateway: Gateway, say: Callable[[str], None]) -> None:
    """Events in: a burst of events on a route becomes one turn, in the session that the route names."""
    api = Api(demo.sidecar_url, (demo.home / "api-key").read_text().strip())
    say("events in: a route from agent.events.custom.door.> to the session agent:main:door, debounced by one second")
    route = {"name": "door", "pattern": "agent.events.custom.door.>", "target": "agent:main:door"}
    await api.call("POST", "/api/routes", {**route, "when": "data.open", "flow": {"debounce": "1s"}})
    say(f"{BURST} doors open, and {BURST} close, within a moment")
    for number in range(BURST):
        for open_ in (True, False):
            payload = {"door": f"door {number}", "open": open_}
            await api.call("POST", "/api/publish", {"subject": "agent.events.custom.door.front", "payload": payload})
    for _ in range(300):
        found = (await api.call("GET", "/api/receipts?route=door"))["receipts"]
        if found:
            break
        await asyncio.sleep(0.1)
    counts = (await api.call("GET", "/api/routes/door"))["counts"]
    say(
        f"{counts['matched']} events matched, {counts['turns']} turn, {counts['turnsAvoided']} turns avoided; "
        f"the run ended {found[0]['outcome'] if found else 'nowhere'}"
    )
    asked = [line for line in gateway.model_log.read_text().splitlines() if "agent.events.custom.door.front" in line]
    say(f"the model was asked {len(asked)} time about them; what came from outside is marked as outside data")
    await asyncio.sleep(1.0)


class Api:
    """The sidecar's API, for the demo."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; raise SetupError when it is refused."""
        async with (
            aiohttp.ClientSession(headers=self._headers) as session,
            session.request(method, self._url + path, json=body) as answer,
        ):
            if answer.status >= 400:
                raise SetupError(f"the sidecar answered {answer.status}: {await answer.text()}")
            return await answer.json()


async def _fresh_session(client: GatewayClient) -> None:
    session = "agent:main:demo"
    await client.chat("hello\n!say Hello.", session)
    await client.chat("/new", session, seconds=10)


@contextlib.contextmanager
def events_printed(demo: Demo, *, as_json: bool) -> Iterator[subprocess.Popen[bytes]]:
    """`openclaw-nats tail` on the demo's stream, in a process of its own."""
    command = [sys.executable, "-m", "openclaw_nats", "tail", "--since", "10m", *(["--json"] if as_json else [])]
    tail = subprocess.Popen(command, env=demo.environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield tail
    finally:
        tail.terminate()
        tail.wait(10)


def wait_for_sidecar(url: str, seconds: float = 30.0) -> None:
    """Wait until the sidecar says that it is up; raise SetupError otherwise."""
    deadline, why = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/api/health", timeout=3) as answer:  # noqa: S310  (our own address)
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError) as error:
            why = str(error)
        time.sleep(0.1)
    raise SetupError(f"the sidecar at {url} did not come up within {seconds:g} s: {why}")
