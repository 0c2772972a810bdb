"""What Home Assistant finds by MQTT, read as it reads it: retained discovery messages, states, a button's press."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.port_holder import free_port
from tests.support.gateway_stub import HOOK_TOKEN, GatewayStub
from tests.support.installation import Installation
from tests.support.mqtt import MqttClient, key_for, wait_for_user
from tests.support.processes import event, wait_until

RIGHTS = (
    *("--publish", "custom.button.>", "--publish", "custom.home.>"),
    *("--topic", "homeassistant/#", "--topic", "openclaw/#"),
)


class Home(Installation):
    """An installation that shows Home Assistant its agents, with a Gateway-shaped server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "state")
        self.port = free_port()
        self.stub = GatewayStub(folder / "stub", run_seconds=2.0)

    def begin(self) -> None:
        """Start both, with everything turned on."""
        self.stub.start()
        self.start()
        (self.home / "hook-token").write_text(HOOK_TOKEN)
        for name, value in (
            ("gateway.url", self.stub.url),
            ("gateway.id", "house"),
            ("mqtt.home_assistant", "true"),
            ("mqtt.port", str(self.port)),
        ):
            self.run("config", "set", name, value)
        self.report("main", "cook")

    def report(self, *agents: str) -> None:
        """As the plugin says which agents there are."""
        body = {"pluginVersion": "0.2.0", "agents": {"ids": agents, "default": agents[0]}}
        sent = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        assert self.sidecar.request("POST", "/api/plugin/report", sent, headers)[0] == 204

    def shown(self) -> dict[str, Any]:
        """What health says of Home Assistant."""
        return dict(self.sidecar.get("/api/health")[1]["mqtt"]["homeAssistant"])

    def number(self, process: str) -> int:
        """The process id of a child of `up`."""
        return int(json.loads((self.home / "run" / "up.json").read_text())["children"][process]["pid"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    one = Home(tmp_path_factory.mktemp("home"))
    one.begin()
    yield one
    one.stop()
    one.stub.close()


@pytest.fixture(scope="module")
def user(home: Home) -> dict[str, str]:
    """Home Assistant's user."""
    made = home.run("keys", "add", "ha", "--mqtt", *RIGHTS)["mqtt"]
    wait_for_user(home.port, made["user"], made["password"])
    return dict(made)


@contextlib.contextmanager
def home_assistant(home: Home, user: dict[str, str]) -> Iterator[MqttClient]:
    """It subscribes to what it discovers by, and to each topic that it is told."""
    with MqttClient(home.port, user["user"], user["password"], "ha") as client:
        assert client.subscribe("homeassistant/#")
        assert client.subscribe("openclaw/#")
        yield client


def found(client: MqttClient) -> dict[str, dict[str, Any]]:
    """The entities that Home Assistant has now, by unique id: an empty message removes one."""
    texts = {topic: text for topic, text in client.texts().items() if topic.endswith("/config") and text}
    return {document["unique_id"]: document for document in map(json.loads, texts.values())}


AGENT = ("busy", "turns", "cost", "waiting", "result")


def test_it_finds_each_agent_with_all_that_an_entity_needs(home: Home, user: dict[str, str]) -> None:
    with home_assistant(home, user) as client:
        wait_until(lambda: len(found(client)) >= 10, 20, "ten entities")
        kinds = {what: "binary_sensor" if what == "busy" else "sensor" for what in AGENT}
        topics = {
            f"homeassistant/{kind}/openclaw_house/{agent}_{what}/config": f"openclaw_house_{kind}_{agent}_{what}"
            for agent in ("main", "cook")
            for what, kind in kinds.items()
        }
        texts = client.texts()
        for topic, number in topics.items():
            document = json.loads(texts[topic])
            assert document["unique_id"] == number
            assert document["state_topic"] in texts or document["name"] == "Last result"
            assert document["availability_topic"] == "openclaw/house/available"
            assert (document["payload_available"], document["payload_not_available"]) == ("online", "offline")
            assert document["device"]["identifiers"] == [f"openclaw_house_agent_{number.split('_')[-2]}"]
            assert document["device"]["name"].startswith("OpenClaw ")
            assert document["origin"]["name"] == "openclaw-nats"
            assert document["qos"] == 1
        assert set(found(client)) == set(topics.values())
        assert texts["openclaw/house/available"] == "online"
        assert texts["openclaw/house/main/busy"] == "OFF"
    with home_assistant(home, user) as later:
        wait_until(lambda: {topic for topic, _, kept in later.heard if kept} >= set(topics), 20, "what is retained")
    assert home.shown() == {"connected": True, "entities": 10, "lastError": ""}


def test_a_button_wakes_the_agent_and_the_sensors_follow(home: Home, user: dict[str, str]) -> None:
    home.run("routes", "add", "tea", "custom.button.tea", "agent:cook:main", "--instruction", "Make tea.")
    with home_assistant(home, user) as client:
        wait_until(lambda: "openclaw_house_button_tea" in found(client), 20, "the button")
        button = found(client)["openclaw_house_button_tea"]
        assert (button["name"], button["retain"], button["device"]["identifiers"]) == ("tea", False, ["openclaw_house"])
        client.publish(button["command_topic"], button["payload_press"], button["qos"])
        wait_until(lambda: client.texts().get("openclaw/house/cook/busy") == "ON", 20, "the agent to be busy")
        wait_until(lambda: client.texts().get("openclaw/house/cook/result") == "ok", 30, "the result")
        wait_until(lambda: client.texts()["openclaw/house/cook/busy"] == "OFF", 20, "its end")
        (turn,) = home.stub.acts()
        assert "Make tea." in json.dumps(turn["body"])
        assert json.loads(client.texts()["openclaw/house/cook/result_of"])["route"] == "tea"
        assert client.texts()["openclaw/house/cook/turns"] == "1"
        assert client.texts()["openclaw/house/main/turns"] == "0"
        (receipt,) = home.run("receipts")["receipts"]
        cost = event("c", "agent.events.llm.output", causationid=receipt["id"], data={"cost": 0.25})
        assert home.sidecar.post_events([cost], {"Content-Type": "application/x-ndjson"})[0] == 200
        wait_until(lambda: client.texts()["openclaw/house/cook/cost"] == "0.2500", 20, "the cost")
        home.run("pause", "--route", "tea")
        client.publish(button["command_topic"], button["payload_press"], 1)
        wait_until(lambda: client.texts()["openclaw/house/cook/waiting"] == "1", 20, "what waits")
        home.run("routes", "remove", "tea")
        wait_until(lambda: "openclaw_house_button_tea" not in found(client), 20, "the button to go")
        wait_until(lambda: client.texts()["openclaw/house/cook/waiting"] == "0", 20, "nothing to wait")
    with home_assistant(home, user) as again:  # one that comes later finds none, and the same result
        wait_until(lambda: len(found(again)) >= 10, 20, "the entities")
        assert not [topic for topic in again.texts() if topic.startswith("homeassistant/button/")]
        assert again.texts()["openclaw/house/cook/result"] == "ok"


def test_which_routes_are_buttons(home: Home, user: dict[str, str]) -> None:
    routes = {
        "two": "custom.button.kitchen.tea",
        "wide": "custom.button.>",
        "one-of": "custom.button.*",
        "elsewhere": "custom.home.tea",
        "plus": "custom.button.a+b",
        "long": f"custom.button.{'x' * 70}",
    }
    for name, pattern in routes.items():
        home.run("routes", "add", name, pattern, "main")
    home.run("routes", "add", "off", "custom.button.off", "main", "--set", "enabled=false")
    home.run("routes", "add", "hook", "custom.button.hook", "http://127.0.0.1:9/x")
    with home_assistant(home, user) as client:
        wait_until(lambda: [one for one in found(client) if "_button_" in one], 20, "a button")
        time.sleep(2)
        buttons = [one for number, one in found(client).items() if "_button_" in number]
        assert [(one["name"], one["command_topic"]) for one in buttons] == [
            ("kitchen.tea", "agent/events/custom/button/kitchen/tea")
        ]
        for name in (*routes, "off", "hook"):
            home.run("routes", "remove", name)
        wait_until(lambda: not [one for one in found(client) if "_button_" in one], 20, "no button")


def test_names_of_others_are_names_and_no_topics(home: Home, user: dict[str, str]) -> None:
    strange = [
        "main",
        "a/b",
        "a#b",
        "+",
        "x" * 300,
        "grün ☕",
        "x-a-b-0123456789abcdef",
        "\x1b[31m",
        "Main",
        "a_busy",
        "",
    ]
    home.report(*strange)
    with home_assistant(home, user) as client:
        wait_until(lambda: len(found(client)) == 5 * len(strange), 20, "their entities")
        for topic in client.texts():
            assert topic.count("/") <= 4, topic
            assert topic.isascii()
            assert len(topic) < 200
        devices = {document["device"]["identifiers"][0] for document in found(client).values()}
        assert len(devices) == len(strange)
        assert all("\x1b" not in document["device"]["name"] for document in found(client).values())
        home.report(*[f"agent-{number}" for number in range(80)])
        wait_until(lambda: len(found(client)) == 5 * 50, 40, "fifty agents at most")
        home.report("main", "cook")
        wait_until(lambda: len(found(client)) == 10, 40, "those that are gone to be emptied")
        wait_until(lambda: not client.texts().get("openclaw/house/agent-7/busy"), 20, "their states, too")


def test_a_kill_of_either_is_seen_and_over_by_itself(home: Home, user: dict[str, str]) -> None:
    with home_assistant(home, user) as client:
        wait_until(lambda: client.texts().get("openclaw/house/available") == "online", 20, "the first")
        os.kill(home.number("sidecar"), signal.SIGKILL)
        wait_until(lambda: client.texts()["openclaw/house/available"] == "offline", 30, "its last will")
        wait_until(lambda: client.texts()["openclaw/house/available"] == "online", 40, "the sidecar to come back")
        os.kill(home.number("nats-server"), signal.SIGKILL)
        wait_until(lambda: client.lost, 10, "the kill")
    wait_until(lambda: home.shown() == {"connected": True, "entities": 10, "lastError": ""}, 60, "the connection")
    with home_assistant(home, user) as client:
        # What was shown above may still be from before the kill: up to 15 s pass between two tries to connect.
        wait_until(lambda: len(found(client)) == 10, 60, "the entities")
        wait_until(lambda: client.texts()["openclaw/house/available"] == "online", 30, "it to be online")


def test_a_home_assistant_that_has_started_is_told_everything(home: Home, user: dict[str, str]) -> None:
    with home_assistant(home, user) as client:
        wait_until(lambda: len(found(client)) == 10, 30, "what is retained")
        wait_until(lambda: client.texts().get("openclaw/house/main/busy"), 10, "a state")
        for said, comes in (("offline", False), ("online", True)):
            client.heard.clear()
            client.publish("homeassistant/status", said)
            if comes:
                wait_until(lambda: len(found(client)) == 10, 10, "everything again")
                assert client.texts()["openclaw/house/main/busy"] == "OFF"
                assert client.texts()["openclaw/house/available"] == "online"
            else:
                time.sleep(2.5)
                assert found(client) == {}


def test_what_goes_while_the_sidecar_is_away_is_emptied_when_it_comes(home: Home, user: dict[str, str]) -> None:
    made = home.run("keys", "add", "older", "--mqtt", "--topic", "homeassistant/#", "--topic", "openclaw/#")["mqtt"]
    wait_for_user(home.port, made["user"], made["password"])
    left = "homeassistant/sensor/openclaw_house/gone_turns/config"
    others = "homeassistant/sensor/somebody/else/config"
    with MqttClient(home.port, made["user"], made["password"]) as older:
        for topic in (left, others, "openclaw/house/gone/turns"):
            older.publish(topic, json.dumps({"unique_id": topic}), retain=True)
    home.run("restart")
    with home_assistant(home, user) as client:
        wait_until(lambda: client.texts().get("openclaw/house/available") == "online", 30, "the sidecar")
        wait_until(lambda: not client.texts().get(left), 20, "what an earlier run has left to go")
        wait_until(lambda: not client.texts().get("openclaw/house/gone/turns"), 20, "its state, too")
        assert client.texts()[others]


def test_turned_off_nothing_stays(home: Home, user: dict[str, str]) -> None:
    home.run("config", "set", "mqtt.home_assistant", "false")
    with home_assistant(home, user) as client:
        wait_until(lambda: not found_ours(client), 30, "everything to be emptied")
        assert not [topic for topic, text in client.texts().items() if topic.startswith("openclaw/house/") and text]
    assert "homeAssistant" not in home.sidecar.get("/api/health")[1]["mqtt"]
    home.run("config", "set", "mqtt.home_assistant", "true")
    home.report("main", "cook")
    with home_assistant(home, user) as client:
        wait_until(lambda: len(found_ours(client)) == 10, 30, "the entities")


def found_ours(client: MqttClient) -> list[str]:
    return [one for one in found(client) if one.startswith("openclaw_house_")]


def test_without_the_extra_it_says_what_to_install_and_events_come_all_the_same(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / "aiomqtt.py").write_text("raise ImportError('not installed')\n")
    one = Home(tmp_path)
    one.environment["PYTHONPATH"] = os.pathsep.join([str(missing), os.environ.get("PYTHONPATH", "")])
    try:
        one.begin()
        wait_until(lambda: "openclaw-nats[mqtt]" in one.shown()["lastError"], 20, "what to install")
        found_by_doctor = [finding for finding in one.run("doctor", code=3)["findings"] if finding["check"] == "mqtt"]
        assert [finding["state"] for finding in found_by_doctor] == ["ok", "problem"]
        assert "pip install 'openclaw-nats[mqtt]'" in found_by_doctor[1]["text"]
        with key_for(one, one.port, "door", "--publish", "custom.door") as client:
            client.publish("agent/events/custom/door", b"1")
        events = "/api/events?subject=agent.events.custom.door"
        wait_until(lambda: one.sidecar.request("GET", events)[2].strip(), 20, "the event")
    finally:
        one.stop()
        one.stub.close()
