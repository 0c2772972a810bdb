"""The how-tos' code as it stands in the docs, against a real sidecar and nats-server; only ports are replaced."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import jinja2
import pytest
import yaml

from tests.support import jetstream
from tests.support.processes import API_KEY, NatsServer, Sidecar

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


class _Loader(yaml.SafeLoader):
    """YAML with the one tag of Home Assistant's that the page uses."""

    secrets: ClassVar[dict[str, str]] = {}


_Loader.add_constructor("!secret", lambda loader, node: _Loader.secrets[node.value])


def from_yaml(text: str) -> Any:
    """A YAML document as values."""
    return _Loader(text).get_single_data()


def test_home_assistants_request_is_stored(house: House) -> None:
    """Home Assistant itself is not here: its YAML is read, and its templates are Jinja2."""
    configuration, secrets, automation = blocks("home-assistant", "yaml")
    _Loader.secrets.update(from_yaml(secrets.replace("…", API_KEY)))
    command = from_yaml(configuration)["rest_command"]["openclaw_event"]
    action = from_yaml(automation)["automation"][0]["actions"][0]
    assert action["action"] == "rest_command.openclaw_event"
    environment = jinja2.Environment()  # noqa: S701  (it makes JSON, and the texts are ours)
    environment.filters["to_json"] = json.dumps
    state = {"trigger": {"to_state": {"state": "on"}}}
    data = {key: environment.from_string(value).render(state) for key, value in action["data"]["data"].items()}
    payload = environment.from_string(command["payload"]).render(what=action["data"]["what"], data=data)
    headers = {**command["headers"], "Content-Type": command["content_type"]}
    path = command["url"].removeprefix("http://127.0.0.1:3104")
    assert house.sidecar.request(command["method"], path, payload.encode(), headers, key="")[0] == 200
    event = house.newest()
    assert (event["subject"], event["data"]) == ("agent.events.custom.home.door.front", {"state": "on"})
