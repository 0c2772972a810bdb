"""A real Gateway with our plugin, a real sidecar and a real nats-server, and what each scenario brought."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from openclaw_nats.demo.gateway import Gateway
from openclaw_nats.demo.gateway_client import GatewayClient, connected
from openclaw_nats.demo.provision import provision
from openclaw_nats.plugin_files import plugin_dir
from tests.support import model_log
from tests.support.inbound import Routed
from tests.support.processes import NatsServer, Sidecar, wait_until

PROBE = Path(__file__).parent.parent / "support" / "probe-plugin"
QUIET_SECONDS = 1.5


def prefix(version: str) -> Any:
    """An OpenClaw version, downloaded on the first run."""
    return provision(version, lambda what, seconds: None)


class World:
    """Everything that one Gateway test needs; `run` returns the events of one scenario, without the noise before it."""

    def __init__(
        self, folder: Path, version: str, config: dict[str, Any] | None = None, sidecar_config: str = ""
    ) -> None:
        self.nats = NatsServer(folder / "nats-server")
        self.gateway = Gateway(
            prefix(version), folder / "openclaw", plugin_paths=[plugin_dir(), PROBE], config=config or {}
        )
        self.gateway.config.setdefault("plugins", {}).setdefault("entries", {})["bus-probe"] = {"enabled": True}
        gateway_table = f'\n[gateway]\nurl = "{self.gateway.url}"\n'
        self.sidecar = Sidecar(self.gateway.state, self.nats, sidecar_config + gateway_table)

    def start(self) -> None:
        """Start all three; the Gateway last."""
        self.nats.start()
        self.sidecar.start()
        self.gateway.start()

    def close(self) -> None:
        """Stop all three."""
        self.gateway.close()
        self.sidecar.close()
        self.nats.close()

    def events(self) -> list[dict[str, Any]]:
        """Everything in the stream."""
        return self.sidecar.events()

    def settle(self, seconds: float = QUIET_SECONDS, limit: float = 40) -> list[dict[str, Any]]:
        """Wait until nothing new comes for a while; return everything in the stream."""
        began = changed = time.monotonic()
        found = self.events()
        while time.monotonic() - changed < seconds and time.monotonic() - began < limit:
            time.sleep(0.1)
            now = self.events()
            if len(now) != len(found):
                found, changed = now, time.monotonic()
        return found

    def run(
        self, scenario: Callable[[GatewayClient], Awaitable[Any]], until: str = "", seconds: float = 30
    ) -> list[dict[str, Any]]:
        """Run a scenario over the Gateway's protocol; return its events, waiting for subject `until` if given."""
        before = len(self.settle())

        async def with_client() -> None:
            async with connected(self.gateway) as client:
                await scenario(client)

        asyncio.run(with_client())
        deadline = time.monotonic() + seconds
        while until and time.monotonic() < deadline and until not in subjects(self.events()[before:]):
            time.sleep(0.1)
        return self.settle()[before:]

    def prompts(self, part: str = "user") -> list[str]:
        """What the model was asked; with part "new" also what the Gateway added to it."""
        return [request[part] for request in model_log.requests(self.gateway.model_log)]


class Waker(Routed, World):
    """A World whose routes wake agents."""

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Start it, until events can wake agents, and stop it."""
        try:
            self.start()
            (self.sidecar.home / "hook-token").write_text(self.gateway.hook_token)
            wait_until(lambda: self.health()["plugin"]["connected"], 30, "the plugin's channel")
            yield
        finally:
            self.close()


class Marked(Waker):
    """A Waker with a folder in which calls leave marks, so that can be counted how often they ran."""

    marks: Path

    def __init__(self, folder: Path, version: str, config: dict[str, Any], sidecar_config: str) -> None:
        super().__init__(folder, version, copy.deepcopy(config), sidecar_config)
        self.marks = folder / "marks"
        self.marks.mkdir()


def subjects(events: list[dict[str, Any]]) -> list[str]:
    """The subjects without their prefix."""
    return [event["subject"].removeprefix("agent.events.") for event in events]


def only(events: list[dict[str, Any]], subject: str, **data: Any) -> dict[str, Any]:
    """The one event with this subject (and data); fails when there is none or more than one."""
    found = [
        event
        for event in events
        if event["subject"] == f"agent.events.{subject}"
        and all(event["data"].get(key) == value for key, value in data.items())
    ]
    assert len(found) == 1, f"{len(found)} events {subject} {data} among {subjects(events)}"
    return found[0]
