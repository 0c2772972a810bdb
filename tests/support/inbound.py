"""A sidecar whose Gateway is the Gateway-shaped server, and what tests ask of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.gateway_stub import HOOK_TOKEN, GatewayStub
from tests.support.processes import NatsServer, Sidecar, wait_until

ROOMY = "[budget]\nturns_per_hour = 100000\nturns_per_day = 100000\nroute_turns_per_hour = 100000\n"


class Routed:
    """What tests ask of a sidecar that has routes."""

    sidecar: Sidecar

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request to the sidecar's API, JSON both ways."""
        return self.sidecar.call(method, path, body)

    def route(self, name: str, pattern: str, target: Any, **more: Any) -> dict[str, Any]:
        """Save a route; fails unless it is accepted."""
        status, answer = self.call("POST", "/api/routes", {"name": name, "pattern": pattern, "target": target, **more})
        assert status in (200, 201), answer
        return dict(answer)

    def health(self) -> dict[str, Any]:
        """The part of the health report that tells of deliveries."""
        return dict(self.sidecar.get("/api/health")[1]["delivery"])

    def states(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        return dict(self.health()["counts"])

    def settled(self, count: int, seconds: float = 30) -> dict[str, int]:
        """Wait until so many deliveries have ended and none is under way."""

        def done() -> dict[str, int] | None:
            states = self.states()
            under_way = states["pending"] + states["sending"] + states["failed"]
            return states if not under_way and sum(states.values()) >= count else None

        try:
            return dict(wait_until(done, seconds, f"{count} ended deliveries"))
        except AssertionError as error:
            raise AssertionError(f"{error}; they are {self.states()}") from None


class Bus(Routed):
    """nats-server, sidecar and Gateway-shaped server together."""

    def __init__(self, folder: Path, config: str = ROOMY, run_seconds: float = 0.0) -> None:
        self.nats = NatsServer(folder / "nats-server")
        self.stub = GatewayStub(folder / "stub", run_seconds)
        self.sidecar = Sidecar(folder / "state", self.nats, config + f'[gateway]\nurl = "{self.stub.url}"\n')
        (self.sidecar.home / "hook-token").write_text(HOOK_TOKEN)

    def start(self) -> None:
        """Start all three."""
        self.nats.start()
        self.stub.start()
        self.sidecar.start()

    def close(self) -> None:
        """Stop all three."""
        self.sidecar.close()
        self.stub.close()
        self.nats.close()

    def publish(self, name: str, data: Any = None, **more: Any) -> str:
        """Publish an event under agent.events.custom; its id."""
        status, answer = self.sidecar.publish(f"agent.events.custom.{name}", data, **more)
        assert status == 200, answer
        return str(answer["id"])

    def dead(self) -> list[dict[str, Any]]:
        """The dead letters."""
        return list(self.call("GET", "/api/dead?limit=1000")[1]["deliveries"])

    def pending(self) -> list[dict[str, Any]]:
        """Deliveries in progress."""
        return list(self.call("GET", "/api/pending?limit=1000")[1]["deliveries"])

    def receipts(self) -> list[dict[str, Any]]:
        """The receipts, newest first."""
        return list(self.call("GET", "/api/receipts?limit=1000")[1]["receipts"])

    def messages(self, path: str = "/hooks/agent") -> list[str]:
        """The texts that the hooks were given, in order."""
        return [act["body"]["message"] for act in self.stub.acts() if act["path"] == path]

    def numbers(self) -> list[list[int]]:
        """The values of `n` in the events of each turn, in order."""
        return [[int(found) for found in re.findall(r'"n":(\d+)', text)] for text in self.messages()]


@contextlib.contextmanager
def running_bus(folder: Path, config: str = ROOMY) -> Iterator[Bus]:
    """A bus from its start to its end."""
    bus = Bus(folder, config)
    try:
        bus.start()
        yield bus
    finally:
        bus.close()
