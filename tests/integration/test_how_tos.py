"""The how-tos' code as it stands in the docs, against a real sidecar and nats-server; only ports are replaced."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
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
from tests.support.cluster import Server
from tests.support.installation import Installation
from tests.support.mqtt import MqttClient, wait_for_user
from tests.support.processes import NatsServer, Sidecar, wait_until
from tests.support.receive import FILES, ReceiverProcess, certificates, signed

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


def titled(page: str, title: str) -> str:
    """The code block of a how-to that has a title."""
    text = (HOW_TOS / f"{page}.md").read_text()
    return text.partition(f'title="{title}')[2].partition("\n")[2].partition("```")[0]


def variables(text: str) -> dict[str, str]:
    """The lines of an environment file."""
    return dict(line.split("=", 1) for line in text.splitlines())


def test_a_receiver_on_a_small_server(tmp_path: Path) -> None:
    """The whole page: the key, both nats-servers' environments, the settings, the receiver's file; units are read."""
    ca, certificate, key = certificates(tmp_path)
    leaves = free_port()
    small, linked = (
        variables(titled("receive", name)) for name in ("/etc/openclaw-receive/nats.env", "/etc/openclaw/link.env")
    )
    home = Installation(tmp_path / "home")
    link = Server(tmp_path, "link", FILES / "link.conf", linked)
    vps = Server(tmp_path, "vps", FILES / "vps.conf", small)
    one = ReceiverProcess(tmp_path / "etc", vps.url)
    try:
        home.start()
        made, settings = (block.splitlines() for block in blocks("receive", "sh"))
        public = home.run(*shlex.split(made[0].replace("vps.key", str(one.key_file)))[1:])["public"]
        here = {"vps.example.org:7422": f"127.0.0.1:{leaves}", "/etc/ssl/certs/ca-certificates.crt": str(ca)}
        link.environment |= {name: _replaced(value, here) for name, value in linked.items()}
        link.environment["LINK_LISTEN"] = f"127.0.0.1:{link.port}"
        vps.environment |= {"NATS_LISTEN": f"127.0.0.1:{vps.port}", "NATS_LEAVES": f"127.0.0.1:{leaves}"}
        vps.environment |= {"LEAF_CERTIFICATE": str(certificate), "LEAF_KEY": str(key), "RECEIVER_KEY": public}
        vps.start()
        link.start()
        (tmp_path / "door-password").write_text(linked["DOOR_PASSWORD"])
        (tmp_path / "door-password").chmod(0o600)
        home.stop()
        here = {"nats://127.0.0.1:4322": link.url, "/etc/openclaw/door-password": str(tmp_path / "door-password")}
        for line in settings[:-1]:
            home.run(*shlex.split(_replaced(line, here))[1:])
        assert settings[-1] == "openclaw-nats restart"
        home.start()
        file = titled("receive", "/etc/openclaw-receive/receive.toml")
        here = {"127.0.0.1:8480": f"127.0.0.1:{one.port}", "nats://127.0.0.1:4222": vps.url}
        one.config.write_text(_replaced(file, here | {"/var/lib/openclaw-receive": str(tmp_path / "var")}))
        for name, secret in (("github.secret", "gh"), ("stripe.secret", "pay")):
            shutil.copy(one.folder / f"{secret}.secret", one.folder / name)
        one.start()
        found = json.loads(one.run("--show", "--json").stdout)["sources"]
        assert [one["address"].startswith("https://hooks.example.org/in/") for one in found] == [True, True]
        for source, kind, body in zip(found, ("github", "stripe"), (b"{}", b'{"id": "e"}'), strict=True):
            path, secret = "/in/" + source["address"].partition("/in/")[2], f"a-secret-of-{kind}"
            assert one.request("POST", path, body, signed(kind, body, secret))[0] == 202
        assert len(home.sidecar.request("GET", "/api/events?subject=agent.events.webhook.%3E")[2].splitlines()) == 2
    finally:
        for process in (one, link, vps):
            process.close()
        home.stop()
    for unit, words in (
        ("openclaw-receive", ["openclaw-nats", "receive", "--config", "/etc/openclaw-receive/receive.toml"]),
        ("openclaw-receive-nats", ["nats-server", "-c", "/etc/openclaw-receive/vps.conf"]),
    ):
        found_unit = configparser.ConfigParser(interpolation=None, strict=True)
        found_unit.optionxform = str  # type: ignore[assignment,method-assign]
        found_unit.read_string(titled("receive", f"/etc/systemd/system/{unit}.service"))
        run = shlex.split(found_unit["Service"]["ExecStart"])
        assert [Path(run[0]).name, *run[1:]] == words


def _replaced(text: str, pairs: dict[str, str]) -> str:
    for old, new in pairs.items():
        text = text.replace(old, new)
    return text
