"""A run that the Gateway refuses under a key which the process before it may have accepted."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import API_KEY, wait_until

INSTANCE = "plugin-of-a-test"


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("keys")) as one:
        one.route("a", "agent.events.custom.a", "agent:main:a", retry={"backoff": ["100ms"] * 5})
        yield one


@contextlib.contextmanager
def orders(bus: Bus) -> Iterator[Iterator[dict[str, Any]]]:
    """The runs that the sidecar orders, as the plugin gets them."""
    connection = http.client.HTTPConnection("127.0.0.1", bus.sidecar.port, timeout=30)
    path = f"/api/plugin/channel?instance={INSTANCE}&run=true&wake=true&wraps=plugin"
    connection.request("GET", path, headers={"Authorization": f"Bearer {API_KEY}"})
    answer = connection.getresponse()
    assert answer.status == 200

    def read() -> Iterator[dict[str, Any]]:
        while line := answer.readline():
            order = json.loads(line) if line.strip() else {}
            if order.get("op") == "run":
                yield order

    try:
        wait_until(lambda: bus.health()["plugin"]["connected"], 10, "the channel")
        yield read()
    finally:
        answer.close()
        connection.close()


def tell(bus: Bus, order: dict[str, Any], status: str, **more: Any) -> None:
    result = {"instance": INSTANCE, "key": order["key"], "status": status, **more}
    assert bus.call("POST", "/api/plugin/results", result)[0] == 204


@pytest.mark.parametrize(
    ("uptime", "again"),
    [({"uptime": 0.0}, True), ({"uptime": 3600.5}, False), ({"uptime": None}, False), ({}, False)],
    ids=["a Gateway that began after it", "one that was there before it", "null", "an older plugin"],
)
def test_a_key_is_left_when_another_process_may_have_taken_it(bus: Bus, uptime: dict[str, Any], again: bool) -> None:
    with orders(bus) as runs:
        before = len(bus.receipts())
        bus.publish("a", {"n": 1})
        first = next(runs)
        tell(bus, first, "refused", error="whatever it says", **uptime)
        second = next(runs)
        assert second["key"] == (f"{first['key']}-2" if again else first["key"])
        assert second["dispatch"] == first["dispatch"]
        tell(bus, second, "ok", runId=second["key"], reply="done")
        wait_until(lambda: len(bus.receipts()) == before + 1, 10, "the receipt")


def test_the_key_that_is_next_outlives_the_sidecar(bus: Bus) -> None:
    with orders(bus) as runs:
        bus.publish("a", {"n": 2})
        first = next(runs)
        tell(bus, first, "refused", error="no", uptime=0.0)
        second = next(runs)
        bus.sidecar.kill()
        bus.sidecar.start()
    with orders(bus) as runs:
        third = next(runs)
        assert (second["key"], third["key"]) == (f"{first['key']}-2", f"{first['key']}-2")
        tell(bus, third, "ok", runId=third["key"])
        assert bus.settled(1)["dead"] == 0
