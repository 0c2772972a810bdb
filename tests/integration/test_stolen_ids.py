"""Whoever hears a message before it is stored knows its id: what is stored under that does not replace the event."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.processes import NATS_PASSWORD, NatsServer, Sidecar, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[NatsServer, Sidecar]]:
    nats = NatsServer(tmp_path / "nats-server")
    nats.start()
    sidecar = Sidecar(tmp_path / "state", nats)
    sidecar.start()
    yield nats, sidecar
    sidecar.close()
    nats.close()


class Thief:
    """Hears what is published, and stores something else under its id."""

    def __init__(self, nats: NatsServer, *, sealed: bool) -> None:
        self.nats, self.sealed = nats, sealed
        self.stolen = 0
        self.ready, self.ended = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True)

    def __enter__(self) -> Thief:
        self.thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join(20)

    async def run(self) -> None:
        client = Client()
        await client.connect(self.nats.url, user="openclaw-nats", password=NATS_PASSWORD)

        async def steal(message: Msg) -> None:
            headers = message.headers or {}
            if "Nats-Batch-Id" not in headers or "Nats-Batch-Commit" in headers:
                return
            sent = {name: value for name, value in headers.items() if "Batch" not in name}
            body = message.data
            if not self.sealed:
                sent, body = {"Nats-Msg-Id": sent["Nats-Msg-Id"]}, b'{"stolen": true}'
            await client.publish("agent.events.custom.thief" if self.sealed else message.subject, body, headers=sent)
            self.stolen += 1

        await client.subscribe("agent.events.custom.victim", cb=steal)
        await client.flush()
        self.ready.set()
        await asyncio.to_thread(self.ended.wait)
        await client.close()


@pytest.mark.parametrize("sealed", [False, True], ids=["made up", "with its seal, elsewhere"])
def test_no_event_of_a_batch_is_lost_to_who_takes_its_id(world: tuple[NatsServer, Sidecar], sealed: bool) -> None:
    nats, sidecar = world
    with Thief(nats, sealed=sealed) as thief:
        sent = 0
        deadline = time.monotonic() + 40
        while (thief.stolen < 20 or sent < 1200) and time.monotonic() < deadline:
            events = [
                {
                    "specversion": "1.0", "id": f"e{sent + n}", "source": "/victim", "type": "t",
                    "subject": "agent.events.custom.victim", "data": {"n": sent + n, "fill": "x" * 1500},
                }
                for n in range(400)
            ]  # fmt: skip
            status, answer = sidecar.post_events(events)
            assert (status, answer["rejected"]) == (200, []), answer
            sent += 400
    assert thief.stolen, "nobody was fast enough to take an id"
    _, _, body = sidecar.request("GET", "/api/events?subject=agent.events.custom.victim&numbered=true")
    found = [json.loads(line) for line in body.splitlines() if line.strip()]
    mine = [one["event"]["data"]["n"] for one in found if one["origin"] == "operator"]
    assert sorted(set(mine)) == list(range(sent))
    # What was stored is not stored again when it is repeated, whatever id it has.
    status, answer = sidecar.post_events([one["event"] for one in found if one["origin"] == "operator"][:100])
    assert answer["accepted"] + answer["duplicates"] == 100


def test_nats_that_ends_under_load_is_found_again(world: tuple[NatsServer, Sidecar]) -> None:
    """nats-py gives a connection up halfway when its transport is gone while something is still to be sent."""
    nats, sidecar = world
    ended = threading.Event()

    def publish(number: int) -> None:
        event = {"specversion": "1.0", "source": "/load", "type": "t", "subject": "agent.events.custom.load"}
        round_ = 0
        while not ended.is_set():
            round_ += 1
            events = [{**event, "id": f"{number}-{round_}-{n}", "data": "x" * 2000} for n in range(300)]
            try:
                sidecar.post_events(events)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    threads = [threading.Thread(target=publish, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            time.sleep(1.0)
            nats.kill()
            time.sleep(0.3)
            nats.start()
            wait_until(lambda: sidecar.get("/api/health")[0] == 200, 30, "the sidecar to find NATS again")
    finally:
        ended.set()
        for thread in threads:
            thread.join(40)
