"""MQTT at the nats-server of an installation, with a real client: what is stored, what is refused, what kills cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client
from paho.mqtt import client as paho

from openclaw_nats.port_holder import free_port
from tests.support.installation import Installation
from tests.support.mqtt import MqttClient, key_for, may_connect, wait_for_user
from tests.support.processes import wait_until

# nats-py leaves the connection of a refused sign-in to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

DOOR = "agent/events/custom/door"


class House(Installation):
    """An installation whose nats-server speaks MQTT."""

    def __init__(self, state: Path) -> None:
        super().__init__(state)
        self.port = free_port()

    def events(self, subject: str) -> list[dict[str, Any]]:
        """The events on a subject, each with its origin."""
        answer = self.sidecar.request("GET", f"/api/events?subject={subject}&numbered=true")
        return [json.loads(line) for line in answer[2].splitlines() if line.strip()]

    def stored(self, subject: str, count: int = 1) -> list[dict[str, Any]]:
        """So many events on a subject, once they are there."""
        wait_until(lambda: len(self.events(subject)) >= count, 20, f"{count} events on {subject}")
        return self.events(subject)

    def nats_server(self) -> int:
        """The process id of nats-server."""
        return int(json.loads((self.home / "run" / "up.json").read_text())["children"]["nats-server"]["pid"])

    @contextlib.asynccontextmanager
    async def operator(self) -> Any:
        """A NATS client with the password of the operator's own programs."""
        client = Client()
        password = (self.home / "nats-password").read_text().strip()
        await client.connect(f"nats://127.0.0.1:{self.ports['nats']}", user="openclaw-nats", password=password)
        try:
            yield client
        finally:
            await client.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    one = House(tmp_path_factory.mktemp("mqtt") / "state")
    one.start()
    one.run("config", "set", "mqtt.port", str(one.port))
    wait_until(lambda: one.sidecar.get("/api/health")[1].get("mqtt", {}).get("lastError") == "", 20, "MQTT")
    yield one
    one.stop()


CLOUDEVENT = {"specversion": "1.0", "id": "e1", "source": "/sensor", "type": "door.opened", "data": {"n": 7}}


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("json", b'{"state": "open"}', {"data": {"state": "open"}}),
        ("number", b"21.5", {"data": 21.5}),
        ("text", "grün".encode(), {"data": "grün", "datacontenttype": "text/plain"}),
        ("event", json.dumps(CLOUDEVENT).encode(), {"id": "e1", "source": "/sensor", "data": {"n": 7}}),
        ("binary", b"\x00\xff\x80", {"data_base64": "AP+A"}),
        ("half", "ü".encode()[:1], {"data_base64": "ww=="}),
        ("empty", b"", {}),
    ],
)
def test_what_is_published_is_an_event(
    house: House, kind: str, payload: bytes, qos: int, expected: dict[str, Any]
) -> None:
    name = f"{kind}-{qos}"
    with key_for(house, house.port, f"p-{name}", "--publish", f"custom.kind.{name}") as client:
        client.publish(f"agent/events/custom/kind/{name}", payload, qos)
        (found,) = house.stored(f"agent.events.custom.kind.{name}")
    assert (found["origin"], found["tainted"]) == ("outside", True)
    event = found["event"]
    assert event["subject"] == f"agent.events.custom.kind.{name}"
    assert {field: event.get(field) for field in expected} == expected
    house.run("keys", "revoke", f"p-{name}")


def test_one_that_is_too_large_ends_its_connection_and_nothing_else(house: House) -> None:
    with (
        key_for(house, house.port, "large", "--publish", "custom.large") as client,
        key_for(house, house.port, "small", "--publish", "custom.small") as other,
    ):
        client.paho.publish("agent/events/custom/large", b"x" * (2 << 20), 0)
        wait_until(lambda: client.lost, 10, "the end of the connection")
        other.publish("agent/events/custom/small", b"1")
        assert other.lost == 0
    house.stored("agent.events.custom.small")
    assert not house.events("agent.events.custom.large")


def test_a_user_may_do_what_its_key_says_and_nothing_else(house: House) -> None:
    house.run("config", "set", "log.level", "info")
    rights = ("--publish", ">", "--read", "custom.door.>", "--topic", "house/+/set")
    with (
        key_for(house, house.port, "guest", *rights, client="guest") as guest,
        key_for(house, house.port, "host", "--topic", "house/#", "--read", "custom.door.>", client="host") as host,
    ):
        for topic in (f"{DOOR}/#", f"{DOOR}/front", f"{DOOR}", "house/lamp/set"):
            assert guest.subscribe(topic), topic
        for topic in (
            *("#", "+/+/+/+", "agent/#", "agent/events/#", "agent/events/>", "agent/events/custom/safe", "house/#"),
            *("$MQTT/#", "$MQTT/sub/+", "$MQTT/msgs/#", "$JS/#", "$SYS/#", "_INBOX/#", "key/#", "agent/schedules/#"),
            *("homeassistant/#", "house/*/state", "agent/leases/+"),
        ):
            assert not guest.subscribe(topic), topic
        assert host.subscribe("house/#")
        refused = [
            *("agent/events/message/received", "agent/events/tool/x/completed", "agent/events/session/new"),
            *("agent/events/cron/daily", "agent/events/timer/x", "agent/events/agents/main/x", "agent/events/bus/x"),
            *("agent/schedules/x", "agent/leases/x", "agent/dlq/x", "agent/quarantine/x", "key/guest/agent/events/x"),
            *("$JS/API/STREAM/DELETE/agent_events", "$MQTT/msgs/x", "$MQTT/rmsgs/agent/events/x", "$SYS/REQ/x"),
            *("_INBOX/guest/x", "house/lamp/state", "homeassistant/x", "other"),
        ]
        before = subjects(house)
        for topic in refused:
            guest.publish(topic, b'{"stream": "agent_events", "seq": 1}', 1, retain=True)  # acknowledged, and dropped
        guest.publish("house/lamp/set", b"ON")
        guest.publish(f"{DOOR}/front", b"1")
        wait_until(lambda: ("house/lamp/set", b"ON", False) in host.heard, 10, "what a topic is for")
        wait_until(lambda: any(topic == f"{DOOR}/front" for topic, _, _ in guest.heard), 10, "what it may read")
        found = subjects(house)
        assert set(found) - set(before) == {"agent.events.custom.door.front"}
        assert found["agent.events.custom.door.front"] == 1
        assert not retained(house)
    log = (house.home / "logs" / "nats-server.log").read_text()
    assert 'Publish Violation - Subject "agent.schedules.x"' in log


def subjects(house: House) -> dict[str, int]:
    """How many messages each subject has, in all streams of ours but the leases."""

    async def asked() -> dict[str, int]:
        found: dict[str, int] = {}
        async with house.operator() as client:
            for name in ("agent_events", "agent_schedules", "agent_dlq"):
                state = (await client.jetstream().stream_info(name, subjects_filter=">")).state
                found |= state.subjects or {}
        return found

    return asyncio.run(asked())


def retained(house: House) -> int:
    """How many retained messages nats-server has."""

    async def asked() -> int:
        async with house.operator() as client:
            return int((await client.jetstream().stream_info("$MQTT_rmsgs")).state.messages)

    return asyncio.run(asked())


def test_its_last_will_goes_where_it_may_publish_and_nowhere_else(house: House) -> None:
    made = house.run("keys", "add", "wills", "--mqtt", "--publish", "custom.will.>")["mqtt"]
    wait_for_user(house.port, made["user"], made["password"])
    for number, topic in enumerate(("agent/events/message/will", "agent/events/custom/will/left")):
        client = MqttClient(house.port, made["user"], made["password"], f"will-{number}")
        client.paho.will_set(topic, b'{"gone": true}', 1)
        with client:
            link = client.paho.socket()
            assert link is not None
            link.shutdown(socket.SHUT_RDWR)
            wait_until(lambda client=client: client.lost, 10, "the end of the connection")
    assert house.stored("agent.events.custom.will.left")[0]["event"]["data"] == {"gone": True}
    assert not house.events("agent.events.message.will")


def test_who_uses_anothers_client_id_hears_nothing_of_it(house: House) -> None:
    with key_for(house, house.port, "owner", "--read", "custom.secret.>", client="shared", clean=False) as owner:
        assert owner.subscribe("agent/events/custom/secret/#")
    with key_for(house, house.port, "thief", "--publish", "custom.secret.>", client="shared", clean=False) as thief:
        thief.publish("agent/events/custom/secret/x", b"1")
        house.stored("agent.events.custom.secret.x")
        time.sleep(0.5)
        assert not thief.heard


def test_users_for_mqtt_come_by_mqtt_alone_and_the_others_do_not(house: House) -> None:
    made = house.run("keys", "add", "both", "--mqtt", "--publish", "custom.both")
    user, password = made["mqtt"]["user"], made["mqtt"]["password"]
    assert user == "mqtt-both"
    wait_for_user(house.port, user, password)
    admin = (house.home / "nats-password").read_text().strip()
    for name, secret in (("openclaw-nats", admin), ("", ""), (user, ""), (user, password[:-1]), ("both", made["key"])):
        assert not may_connect(house.port, name, secret), name

    async def by_nats() -> None:
        client = Client()
        address = f"nats://127.0.0.1:{house.ports['nats']}"
        await client.connect(address, user=user, password=password, allow_reconnect=False)

    with pytest.raises(nats.errors.Error, match="Authorization"):
        asyncio.run(by_nats())
    with MqttClient(house.port, user, password, version=paho.MQTTv5) as newer:
        assert newer.answer == "Unsupported protocol version"


def test_a_password_ends_with_its_key(house: House, tmp_path: Path) -> None:
    file = tmp_path / "lamp.key"
    made = house.run("keys", "add", "lamp", "--mqtt", "--publish", "custom.lamp", "--file", str(file))
    assert made["mqtt"] == {"user": "mqtt-lamp", "password": "", "file": f"{file}.mqtt"}
    beside = Path(f"{file}.mqtt")
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    first = beside.read_text().strip()
    wait_for_user(house.port, "mqtt-lamp", first)
    with MqttClient(house.port, "mqtt-lamp", first) as client:
        second = house.run("keys", "rotate", "lamp")["mqtt"]["password"]
        wait_until(lambda: client.lost, 15, "the end of its connection")
    assert second != first
    wait_for_user(house.port, "mqtt-lamp", second)
    assert not may_connect(house.port, "mqtt-lamp", first)
    house.run("restart")
    wait_for_user(house.port, "mqtt-lamp", second)
    listed = {one["name"]: one for one in house.run("keys")["keys"]}
    assert listed["lamp"]["mqtt"] is True
    house.run("keys", "revoke", "lamp")
    wait_until(lambda: not may_connect(house.port, "mqtt-lamp", second), 15, "the end of the key")
    soon = house.run("keys", "add", "soon", "--mqtt", "--publish", "custom.lamp", "--expires", "6s")["mqtt"]
    wait_for_user(house.port, soon["user"], soon["password"])
    wait_until(lambda: not may_connect(house.port, soon["user"], soon["password"]), 20, "its end")
    for log in (house.home / "logs").iterdir():
        for secret in (first, second, soon["password"]):
            assert secret not in log.read_text(errors="replace"), log
    assert stat.S_IMODE((house.home / "nats-server.conf").stat().st_mode) == 0o600
    assert all(one not in (house.home / "limited-keys.json").read_text() for one in (first, second))


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        (("--topic", "house/#"), "--topic is for keys that come by MQTT"),
        (("--mqtt",), "the key may do nothing"),
        (("--mqtt", "--topic", "#"), "can't have the topic"),
        (("--mqtt", "--topic", "+/x"), "can't have the topic"),
        (("--mqtt", "--topic", "$JS/#"), "can't have the topic"),
        (("--mqtt", "--topic", "_INBOX/#"), "can't have the topic"),
        (("--mqtt", "--topic", "a.b/#"), "can't have the topic"),
        (("--mqtt", "--topic", "a/#/b"), "can't have the topic"),
        (("--mqtt", "--topic", "a/b c"), "can't have the topic"),
        (("--mqtt", "--topic", "/a"), "can't have the topic"),
        (("--mqtt", "--topic", "a/>"), "can't have the topic"),
        (("--mqtt", "--topic", "agent/events/#"), "is the bus's own"),
        (("--mqtt", "--topic", "key/#"), "is the bus's own"),
    ],
)
def test_a_key_that_can_not_be_is_refused(house: House, rights: tuple[str, ...], said: str) -> None:
    answer = house.run("keys", "add", "wrong", *rights, code=2)
    assert said in answer["error"]
    assert "wrong" not in {one["name"] for one in house.run("keys")["keys"]}


def test_what_was_acknowledged_is_in_the_stream_however_nats_server_ends(house: House) -> None:
    """A stream that is busy takes a message long after nats-server has acknowledged it by MQTT."""
    client = key_for(house, house.port, "counter", "--publish", "custom.count")
    client.paho.max_inflight_messages_set(100)
    flooding = threading.Event()
    flood = threading.Thread(target=lambda: asyncio.run(flooded(house, flooding)))
    acknowledged: set[int] = set()
    numbers: dict[int, int] = {}
    count = 0
    with client:
        for round_ in range(3):
            if round_ == 1:  # once with a stream that has other things to do
                flood.start()
                time.sleep(0.3)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                numbers[client.paho.publish("agent/events/custom/count", str(count).encode(), 1).mid] = count
                count += 1
                time.sleep(0.002)
            killed = client.lost
            os.kill(house.nats_server(), signal.SIGKILL)
            wait_until(lambda killed=killed: client.lost > killed, 10, "the kill")
            if round_ == 1:
                flooding.set()
            wait_until(client.paho.is_connected, 30, "the client to come back")
        wait_until(lambda: len(client.acknowledged) >= len(numbers), 60, "all acknowledgements")
        acknowledged = {numbers[mid] for mid in client.acknowledged if mid in numbers}
    flood.join()
    assert len(acknowledged) > 500

    def missing() -> set[int]:
        return acknowledged - {int(one["event"]["data"]) for one in house.events("agent.events.custom.count")}

    wait_until(lambda: not missing(), 60, "what was acknowledged")
    health = house.sidecar.get("/api/health")[1]["mqtt"]
    assert health["storedAgain"] > 0
    before = len(house.events("agent.events.custom.count"))
    time.sleep(12)  # longer than a message is kept for another look
    assert len(house.events("agent.events.custom.count")) == before


async def flooded(house: House, ended: threading.Event) -> None:
    """A program that publishes over NATS and waits for nothing."""
    with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
        async with house.operator() as client:
            while not ended.is_set():
                for _ in range(50):
                    await client.publish("agent.events.custom.flood", b"x" * 20_000)
                await client.flush(5)


def test_what_nats_server_keeps_and_the_stream_lacks_is_stored_once(house: House) -> None:
    """As a kill leaves it: acknowledged and kept for MQTT, and not in the stream."""
    lost = "agent.events.custom.lost"
    before = house.sidecar.get("/api/health")[1]["mqtt"]["storedAgain"]

    async def keep() -> None:
        async with house.operator() as client:
            stream = client.jetstream()
            await stream.delete_consumer("$MQTT_msgs", "openclaw-nats")
            for _ in range(100):
                await asyncio.sleep(0.1)
                with contextlib.suppress(nats.js.errors.NotFoundError):
                    await stream.consumer_info("$MQTT_msgs", "openclaw-nats")
                    break
            for subject, body in ((lost, b"1"), (lost, b"1"), (lost, b"2"), ("agent.events.*.x", b"3")):
                await stream.publish(f"$MQTT.msgs.{subject}", body, headers={"Nmqtt-Pub": "1"})

    asyncio.run(keep())
    found = house.stored(lost, 3)
    assert sorted(one["event"]["data"] for one in found) == [1, 1, 2]
    assert {one["origin"] for one in found} == {"outside"}
    time.sleep(12)  # longer than a message is kept for another look
    assert len(house.events(lost)) == 3
    assert house.sidecar.get("/api/health")[1]["mqtt"]["storedAgain"] == before + 3


def test_alike_messages_are_as_many_events(house: House) -> None:
    with key_for(house, house.port, "alike", "--publish", "custom.alike") as client:
        for _ in range(30):
            client.publish("agent/events/custom/alike", b"ON")
        time.sleep(3)
    assert len(house.events("agent.events.custom.alike")) == 30


def test_what_mqtt_keeps_has_a_limit(house: House) -> None:
    with key_for(house, house.port, "keeper", "--topic", "keep/#") as client:
        client.publish("keep/x", b"1", retain=True)

    async def limits() -> dict[str, int]:
        async with house.operator() as client:
            found = await client.jetstream().streams_info()
        return {one.config.name: one.config.max_bytes for one in found if one.config.name.startswith("$MQTT")}

    wait_until(lambda: all(most > 0 for most in asyncio.run(limits()).values()), 40, "limits")
    assert len(asyncio.run(limits())) == 5


def test_status_and_doctor_say_where_it_is(house: House) -> None:
    assert house.run("status", code=3)["mqtt"]["listening"] is True  # there is no Gateway here
    found = [one for one in house.run("doctor", code=3)["findings"] if one["check"] == "mqtt"]
    assert [one["state"] for one in found] == ["ok"], found
    assert f"speaks MQTT on 127.0.0.1 port {house.port}" in found[0]["text"]


def test_a_port_that_is_taken_is_refused_and_costs_no_event(house: House) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        taken = other.getsockname()[1]
        answer = house.run("config", "set", "mqtt.port", str(taken), code=2)
        assert f"port {taken} is held by" in answer["error"]
    answer = house.run("config", "set", "mqtt.port", str(house.ports["nats"]), code=2)
    assert "is taken by the sidecar or NATS" in answer["error"]
    answer = house.run("config", "set", "mqtt.host", "192.0.2.7", code=2)
    assert "there is no TLS" in answer["error"]
    assert house.run("config", "get", "mqtt.port")["value"] == house.port
    house.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", house.port))
        other.listen(1)
        house.start()
        assert house.sidecar.publish("agent.events.custom.still", 1)[0] == 200
        assert "MQTT is off: its port" in (house.state / "up.out").read_text()
    house.run("restart")
    wait_until(lambda: house.sidecar.get("/api/health")[1]["mqtt"]["listening"], 20, "MQTT")
