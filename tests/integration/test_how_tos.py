"""The how-tos' code as it stands in the docs, against a real sidecar and nats-server; only ports are replaced."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from openclaw_nats.port_holder import free_port
from tests.support import jetstream
from tests.support.installation import Installation
from tests.support.mqtt import MqttClient, wait_for_user
from tests.support.processes import NatsServer, Sidecar, wait_until

HOW_TOS = Path(__file__).resolve().parent.parent.parent / "docs" / "how-to"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a how-to in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (HOW_TOS / f"{page}.md").read_text(), flags=re.DOTALL)


class House:
    """A home directory with a running installation."""

    def __init__(self, folder: Path, nats: NatsServer) -> None:
        self.nats = nats
        self.sidecar = Sidecar(folder / ".openclaw", nats)
        self.environment = self.sidecar.environment | {"HOME": str(folder)}
        del self.environment["OPENCLAW_STATE_DIR"]

    def run(self, *words: str, text: str = "") -> str:
        """Run a program at home; its output."""
        text = text.replace("nats://127.0.0.1:4222", self.nats.url).replace("http://127.0.0.1:3104", self.sidecar.url)
        done = subprocess.run(
            [*words, *([text] if text else [])],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def newest(self) -> dict[str, Any]:
        """The newest event of the stream."""
        return self.sidecar.events("?limit=1")[0]


@pytest.fixture
def house(tmp_path: Path, nats: NatsServer) -> Iterator[House]:
    one = House(tmp_path, nats)
    one.sidecar.start()
    yield one
    one.sidecar.close()


def test_publish_from_python_waits_for_the_stream_and_is_stored_once(house: House) -> None:
    program, _ = blocks("publish", "python")
    first, second = (house.run(sys.executable, "-c", text=program) for _ in range(2))
    assert first == second
    event = house.newest()
    assert first == f"stored as event {len(house.sidecar.events())}\n"
    assert (event["subject"], event["data"]) == ("agent.events.custom.door.front", {"state": "open"})
    assert event["id"] == "door-front-2026-11-24T20:14:00Z"


def test_publish_by_the_cloudevents_sdk(house: House) -> None:
    _, program = blocks("publish", "python")
    answer = json.loads(house.run(sys.executable, "-c", text=program))
    assert (answer["accepted"], answer["rejected"]) == (1, [])
    event = house.newest()
    assert (event["id"], event["source"], event["type"]) == ("door-1", "/door", "door.opened")
    assert (event["subject"], event["data"]) == ("agent.events.custom.door", {"state": "open"})


def test_publish_from_the_shell(house: House) -> None:
    (line,) = blocks("publish", "sh")
    openclaw_nats = f"{sys.executable} -m openclaw_nats"
    assert "is event 1 of the stream" in house.run("bash", "-c", text=line.replace("openclaw-nats", openclaw_nats))
    assert house.newest()["data"] == {"state": "open"}


def test_a_shell_that_is_in_a_trace_publishes_into_it(house: House) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    publish = [sys.executable, "-m", "openclaw_nats", "publish", "agent.events.custom.x", "1"]
    house.run(*publish, "--traceparent", traceparent)
    assert house.newest()["traceparent"] == traceparent
    house.environment["TRACEPARENT"] = traceparent.replace("0", "1")
    house.run(*publish)
    assert "traceparent" not in house.newest()  # version 11 is none that anybody knows
    house.environment["TRACEPARENT"] = traceparent.replace("-01", "-00")
    house.run(*publish)
    assert house.newest()["traceparent"].endswith("-00")


def test_the_webhook_is_one_request(house: House) -> None:
    (line,) = blocks("webhook", "bash")
    assert json.loads(house.run("bash", "-c", text=line))["subject"] == "agent.events.custom.ci.build"
    assert house.newest()["data"] == {"status": "failed", "branch": "main"}


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b'{"a": [1]}', {}, {"data": {"a": [1]}}),
        ("grün".encode(), {}, {"data": "grün", "datacontenttype": "text/plain"}),
        (b'{"a": 1}', {"Nats-Msg-Id": "mine"}, {"id": "mine"}),
        (b'{"a": 1}', {"ce-id": "c-1", "ce-source": "/door"}, {"id": "c-1", "source": "/door", "data": {"a": 1}}),
    ],
)
def test_what_the_table_of_bodies_says(
    house: House, body: bytes, headers: dict[str, str], expected: dict[str, Any]
) -> None:
    jetstream.publish(house.nats, "agent.events.custom.x", body, headers)
    event = house.newest()
    assert {name: event.get(name) for name in expected} == expected


def commands(page: str) -> list[list[str]]:
    """The openclaw-nats commands of a how-to, in blocks and within sentences, as words."""
    text = (HOW_TOS / f"{page}.md").read_text()
    found = "\n".join(blocks(page, "sh")) + "\n" + "\n".join(re.findall(r"`(keys add [a-z][^`]+)`", text))
    lines = [line.removeprefix("openclaw-nats ") for line in found.splitlines() if not line.startswith("pip ")]
    return [shlex.split(line) for line in lines if line]


@pytest.fixture
def by_mqtt(tmp_path: Path) -> Iterator[tuple[Installation, int, dict[str, dict[str, str]]]]:
    """An installation on which the how-to's commands were run; its port for MQTT, and the users that were made."""
    one, port = Installation(tmp_path / "state"), free_port()
    try:
        one.start()
        users = {}
        for words in commands("home-assistant"):
            if words[0] == "setup":  # which needs OpenClaw: tests/integration/test_setup.py has it
                assert words == ["setup", "--mqtt-port", "1883"]
                words = ["config", "set", "mqtt.port", str(port)]
            answer = one.run(*words)
            if words[:2] == ["keys", "add"]:
                users[words[2]] = answer["mqtt"]
        for user in users.values():
            wait_for_user(port, user["user"], user["password"])
        yield one, port, users
    finally:
        one.stop()


def test_home_assistants_automation_is_an_event_that_its_route_takes(
    by_mqtt: tuple[Installation, int, dict[str, dict[str, str]]],
) -> None:
    """Home Assistant itself is not here: its YAML is read, its templates are Jinja2, and the client is a real one."""
    one, port, users = by_mqtt
    (text,) = blocks("home-assistant", "yaml")
    action = yaml.safe_load(text)["automation"][0]["actions"][0]
    assert action["action"] == "mqtt.publish"
    environment = jinja2.Environment()  # noqa: S701  (it makes JSON, and the texts are ours)
    state = {"trigger": {"to_state": {"state": "on"}}}
    payload = environment.from_string(action["data"]["payload"]).render(state)
    home = users["home"]
    assert home["user"] == "mqtt-home"
    with MqttClient(port, home["user"], home["password"]) as client:
        client.publish(action["data"]["topic"], payload, action["data"]["qos"])
        assert client.subscribe("homeassistant/#")
        assert client.subscribe("openclaw/#")
        names = {"Busy", "Turns today", "Cost today", "Waiting", "Last result", "tea"}
        texts = client.texts

        def shown() -> set[str]:
            found = [text for topic, text in texts().items() if topic.endswith("/config") and text]
            return {json.loads(text)["name"] for text in found}

        wait_until(lambda: shown() == names, 30, "the entities of the table")
        client.publish("homeassistant/status", "online")
        client.publish("agent/events/custom/button/tea", '{"button": "tea"}')

    def waiting() -> list[str]:
        return sorted(delivery["route"] for delivery in one.run("pending")["deliveries"])

    wait_until(lambda: waiting() == ["doors", "tea"], 20, "the routes to take them")
    page = (HOW_TOS / "home-assistant.md").read_text()
    assert all(f"{name}" in page for name in names)


def test_zigbee2mqtt_and_tasmota_may_do_what_the_page_says(
    by_mqtt: tuple[Installation, int, dict[str, dict[str, str]]],
) -> None:
    one, port, users = by_mqtt
    for name, topics in {"zigbee": ("lamp", "bridge/state"), "tasmota": ("plug/tele", "plug/stat")}.items():
        user = users[name]
        with MqttClient(port, user["user"], user["password"]) as client:
            assert client.subscribe(f"agent/events/custom/{name}/#")
            for topic in topics:
                client.publish(f"agent/events/custom/{name}/{topic}", "1", retain=True)
                subject = f"agent.events.custom.{name}.{topic.replace('/', '.')}"
                path = f"/api/events?subject={subject}"
                wait_until(lambda path=path: one.sidecar.request("GET", path)[2].strip(), 20, subject)
    with MqttClient(port, users["zigbee"]["user"], users["zigbee"]["password"]) as client:
        assert client.subscribe("homeassistant/#")
