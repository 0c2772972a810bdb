"""Limited keys on a real installation: over HTTP and over NATS each may do what it was made for, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import json
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client

from openclaw_nats.keys.making import new_secret
from tests.support.installation import Installation
from tests.support.processes import wait_until

# nats-py leaves the connection of a refused sign-in to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).parent.parent.parent
DOOR = "agent.events.custom.door"
OTHER = "agent.events.custom.safe"


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What nats-py has left is collected here, where its warning is expected, and not in another test."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    one = Installation(tmp_path_factory.mktemp("keys") / "state")
    one.start()
    yield one
    one.run("stop")  # a restore has started what `stop` of ours does not know
    one.stop()


def made(installed: Installation, name: str, *rights: str) -> str:
    return str(installed.run("keys", "add", name, *rights)["key"])


def request(
    installed: Installation, key: str, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """A request with a bearer token; body and answer are JSON where they are not text."""
    text = body if isinstance(body, str) else json.dumps(body) if body is not None else None
    data = text.encode() if text is not None else None
    sent = {"Content-Type": "application/json", **(headers or {})}
    status, answered, content = installed.sidecar.request(method, path, data, sent, key=key)
    is_json = "json" in answered.get("content-type", "") and b"\n{" not in content.strip()
    return status, json.loads(content) if content and is_json else content.decode()


def publish(installed: Installation, key: str, subject: str, **more: Any) -> tuple[int, Any]:
    return request(installed, key, "POST", "/api/publish", {"subject": subject, "payload": {"n": 1}, **more})


def stored(installed: Installation, subject: str) -> list[dict[str, Any]]:
    """The events on a subject, each with its origin."""
    answer = installed.sidecar.request("GET", f"/api/events?subject={subject}&numbered=true")
    return [json.loads(line) for line in answer[2].splitlines() if line.strip()]


def test_it_publishes_and_reads_where_it_may_and_nowhere_else(installed: Installation) -> None:
    key = made(installed, "porch", "--publish", "custom.door.>", "--read", "custom.door.front")
    status, answer = publish(installed, key, f"{DOOR}.front")
    assert status == 200, answer
    found = stored(installed, f"{DOOR}.front")
    assert [(one["origin"], one["tainted"]) for one in found] == [("key:porch", True)]
    status, answer = publish(installed, key, OTHER)
    assert status == 403
    assert answer["detail"] == f"the key porch may not publish on {OTHER}"
    assert answer["hint"] == f"It may on {DOOR}.>."
    assert not stored(installed, OTHER)
    status, lines = request(installed, key, "GET", f"/api/events?subject={DOOR}.front")
    assert status == 200
    assert f"{DOOR}.front" in str(lines)
    for path in (
        "/api/events?subject=agent.events.%3E",
        f"/api/events?subject={DOOR}.%3E",
        f"/api/events?subject={DOOR}.*",
    ):
        assert request(installed, key, "GET", path)[0] == 403, path
    assert request(installed, key, "GET", "/api/events")[0] == 200  # its only pattern


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "application/cloudevents-batch+json"])
def test_in_a_batch_what_it_may_not_is_refused_one_by_one(installed: Installation, kind: str) -> None:
    name = "b-" + re.sub(r"\W", "-", kind.rpartition("/")[2])
    key = made(installed, name, "--publish", f"{DOOR}.{name}")
    one = {"specversion": "1.0", "id": "1", "source": "x", "type": "t", "subject": f"{DOOR}.{name}"}
    events = [one, {**one, "id": "2", "subject": OTHER}, {**one, "id": "3", "subject": "agent.events.llm.output"}]
    text = "\n".join(map(json.dumps, events)) if "ndjson" in kind else json.dumps(events)
    status, answer = request(installed, key, "POST", "/api/events", text, {"Content-Type": kind})
    assert (status, answer["accepted"]) == (200, 1)
    assert [(entry["index"], "may not publish on" in entry["error"]) for entry in answer["rejected"]] == [
        (1, True),
        (2, True),
    ]
    assert not stored(installed, OTHER)


@pytest.mark.parametrize(
    "how",
    [
        lambda subject: ("/api/publish", json.dumps({"subject": subject, "payload": 1}), {}),
        lambda subject: (f"/api/publish?subject={subject}", "text", {"Content-Type": "text/plain"}),
        lambda subject: (f"/api/events?subject={subject}", "{}", {}),
        lambda subject: (f"/api/events?subject={subject}", "[1, 2]", {}),
        lambda subject: (
            "/api/publish",
            "1",
            {"ce-specversion": "1.0", "ce-id": "9", "ce-source": "s", "ce-type": "t", "ce-subject": subject},
        ),
        lambda subject: (
            "/api/publish",
            json.dumps({"specversion": "1.0", "id": "7", "source": "s", "type": subject}),
            {},
        ),
        lambda subject: (
            f"/api/events?subject={DOOR}.any",
            json.dumps({"specversion": "1.0", "id": "7", "source": "s", "type": "t", "subject": subject}),
            {"Content-Type": "application/cloudevents+json"},
        ),
    ],
    ids=["publish", "text", "content", "list", "binary", "type", "address"],
)
def test_however_the_subject_is_said_it_is_the_events(installed: Installation, how: Any) -> None:
    key = publisher(installed)
    path, body, headers = how(OTHER)
    before = len(stored(installed, OTHER))
    status, answer = request(installed, key, "POST", path, body, headers)
    found = stored(installed, OTHER)[before:]
    assert not found, (status, answer)
    if "subject=agent.events.custom.door" not in path:
        assert status == 403, answer


def publisher(installed: Installation) -> str:
    """A key that may publish about the door, the same for several tests."""
    file = installed.state / "publisher.key"
    if not file.exists():
        installed.run("keys", "add", "publisher", "--publish", "custom.door.>", "--file", str(file))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    return file.read_text().strip()


def test_nothing_else_is_open_to_it(installed: Installation) -> None:
    key = publisher(installed)
    document = json.loads(installed.sidecar.request("GET", "/api/openapi.json")[2])
    asked = 0
    for path, methods in document["paths"].items():
        for method in methods:
            where = re.sub(r"\{\w+\}", "1", path)
            if method not in ("get", "post", "put", "patch", "delete") or (method, where) == ("get", "/api/health"):
                continue
            if where == "/api/proof":  # which has no key
                continue
            body: Any = {} if method != "get" else None
            status, answer = request(installed, key, method.upper(), where, body)
            asked += 1
            if (method, where) in (("post", "/api/publish"), ("post", "/api/events"), ("get", "/api/events")):
                assert status in (403, 422, 400), (method, where, status, answer)
            else:
                assert status in (401, 403), (method, where, status, answer)
    assert asked > 60
    for path in ("//api/routes", "/api/events/../routes", "/api/./routes", "/api/events/", "/api/events/1", "/metrics"):
        assert request(installed, key, "GET", path)[0] in (401, 403, 404), path
    report = request(installed, key, "GET", "/api/health")
    assert report == request(installed, "", "GET", "/api/health")  # what strangers hear


def test_what_tells_of_more_than_its_events_is_refused(installed: Installation) -> None:
    key = publisher(installed)
    body = {"subject": f"{DOOR}.x", "payload": 1}
    assert request(installed, key, "POST", "/api/publish?routes=true", body)[0] == 403
    assert request(installed, key, "POST", "/api/events?origin=outside", "[]")[0] == 403
    assert request(installed, key, "POST", "/api/publish?origin=outside", body)[0] == 403
    headers = {"openclaw-nats-retry-since": "2020-01-01T00:00:00Z"}
    assert request(installed, key, "POST", "/api/events", "[]", headers)[0] == 403
    assert request(installed, key, "GET", "/api/events")[0] == 403
    assert request(installed, key, "GET", f"/api/events?subject={DOOR}.x")[0] == 403


def test_what_it_says_of_gateway_session_agent_and_hops_is_not_believed(installed: Installation) -> None:
    key = made(installed, "liar", "--publish", "agent.events.>")
    installed.run("routes", "add", "liar", "custom.liar.>", "agent:main:main")
    installed.run("pause", "--route", "liar")
    event = {
        "specversion": "1.0", "id": "1", "source": "openclaw://x/gateway", "type": "t",
        "subject": "agent.events.custom.liar.a",
        "agentid": "main", "sessionkey": "agent:main:main", "hops": 3, "causationid": "1", "data": {"n": 1},
    }  # fmt: skip
    assert (
        request(installed, key, "POST", "/api/events", event, {"Content-Type": "application/cloudevents+json"})[0]
        == 200
    )
    for subject in ("agent.events.message.received", "agent.events.cron.tea", "agent.events.agents.main.x"):
        status, answer = publish(installed, key, subject)
        assert (status, "nobody but the Gateway" in answer["detail"]) == (403, True)
    waiting = wait_until(lambda: installed.run("pending")["deliveries"], 20, "the event")
    detail = installed.run("pending", "show", str(waiting[0]["id"]))
    assert (detail["origin"], detail["tainted"], detail["session"]) == ("key:liar", True, "")
    installed.run("routes", "remove", "liar")


def test_no_id_of_another_key_or_of_the_operator_is_taken(installed: Installation) -> None:
    first = made(installed, "first", "--publish", "custom.order")
    second = made(installed, "second", "--publish", "custom.order")
    for key in (first, second):
        status, answer = publish(installed, key, "agent.events.custom.order", id="order-17")
        assert (status, answer["duplicate"]) == (200, False), answer
    assert publish(installed, first, "agent.events.custom.order", id="order-17")[1]["duplicate"] is True
    status, answer = installed.sidecar.publish("agent.events.custom.order", {"n": 1}, id="order-17")
    assert (status, answer["duplicate"]) == (200, False)


def test_revoked_rotated_and_expired_it_ends_at_once_with_what_it_reads(installed: Installation) -> None:
    key = made(installed, "short", "--publish", f"{DOOR}.s", "--read", f"{DOOR}.s")
    assert publish(installed, key, f"{DOOR}.s")[0] == 200
    link = http.client.HTTPConnection("127.0.0.1", installed.ports["sidecar"], timeout=60)
    link.request("GET", f"/api/events?subject={DOOR}.s&follow=true", headers={"Authorization": f"Bearer {key}"})
    response = link.getresponse()
    ended = threading.Event()
    threading.Thread(target=lambda: (response.read(), ended.set()), daemon=True).start()
    new = installed.run("keys", "rotate", "short")["key"]
    assert publish(installed, key, f"{DOOR}.s")[0] == 401
    assert publish(installed, new, f"{DOOR}.s")[0] == 200
    assert ended.wait(30), "what the old key read goes on"
    link.close()
    installed.run("keys", "revoke", "short")
    assert publish(installed, new, f"{DOOR}.s")[0] == 401
    soon = made(installed, "soon", "--publish", f"{DOOR}.s", "--expires", "3s")
    assert publish(installed, soon, f"{DOOR}.s")[0] == 200
    time.sleep(3)
    assert publish(installed, soon, f"{DOOR}.s")[0] == 401
    listed = {one["name"]: one for one in installed.run("keys")["keys"]}
    assert listed["soon"]["expired"] is True
    notes = [one["text"] for one in installed.run("doctor", code=3)["findings"] if one["check"] == "keys"]
    assert any("soon" in text for text in notes), notes


def test_no_secret_is_kept_and_everything_is_in_the_audit_log(installed: Installation) -> None:
    key = made(installed, "kept", "--publish", "custom.kept", "--expires", "30d")
    installed.run("keys", "revoke", "kept")
    for path in installed.home.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    assert stat.S_IMODE((installed.home / "limited-keys.json").stat().st_mode) == 0o600
    acts = [(one["act"], one["about"], one.get("stage")) for one in installed.run("audit")["records"]]
    assert ("keys.add", "kept", "ended") in acts
    assert ("keys.revoke", "kept", "ended") in acts


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("add Door --publish custom.a", "can't be called 'Door'"),
        ("add ../a --publish custom.a", "can't be called"),
        ("add x", "may do nothing"),
        ("add x --publish custom.a.>.b", "> before its end"),
        ("add x --publish custom.a --expires yesterday", "--expires must be a duration"),
        ("add x --publish custom.a --expires 2020-01-01T00:00:00Z", "not a time to come"),
        ("add x --publish custom.a --expires 99999999999d", "--expires"),
        ("add x --publish custom.a --file /proc/x/y", "can't be written"),
        ("rotate publishr", "Did you mean publisher?"),
        ("revoke nobody-at-all", "there is no limited key"),
    ],
)
def test_wrong_input_is_named_and_makes_no_key(installed: Installation, words: str, said: str) -> None:
    publisher(installed)
    before = (installed.home / "limited-keys.json").read_bytes()
    answer = installed.run("keys", *words.split(), code=2)
    assert said in answer["error"] + answer["hint"], answer
    assert (installed.home / "limited-keys.json").read_bytes() == before


def test_a_name_that_is_there_is_not_made_again(installed: Installation) -> None:
    key = publisher(installed)
    assert "already" in installed.run("keys", "add", "publisher", "--publish", "custom.x", code=2)["error"]
    assert publish(installed, key, f"{DOOR}.again")[0] == 200


def test_a_file_that_is_no_file_of_keys_lets_nobody_in_and_is_named(installed: Installation) -> None:
    key, file = publisher(installed), installed.home / "limited-keys.json"
    good = file.read_bytes()
    try:
        for broken in (b"", b"{", b'{"keys":[{}]}', b"[" * 100_000, b"\xff", good.replace(b'"publish"', b'"other"')):
            file.write_bytes(broken)
            assert publish(installed, key, f"{DOOR}.x")[0] == 401, broken[:40]
            found = [one for one in installed.run("doctor", code=3)["findings"] if one["check"] == "keys"]
            assert [one["state"] for one in found] == ["problem"], found
            assert "limited-keys.json" in installed.run("keys", "add", "y", "--publish", "custom.y", code=2)["error"]
            assert installed.sidecar.get("/api/routes")[0] == 200
    finally:
        file.write_bytes(good)
    assert publish(installed, key, f"{DOOR}.x")[0] == 200


class Guest:
    """A NATS client with a limited key."""

    def __init__(self, installed: Installation, seed: str, name: str) -> None:
        self.url = f"nats://127.0.0.1:{installed.ports['nats']}"
        self.seed, self.name = seed, name
        self.errors: list[str] = []
        self.gone = asyncio.Event()

    async def connect(self) -> Client:
        async def on_error(error: Exception) -> None:
            self.errors.append(str(error))

        async def on_end() -> None:
            self.gone.set()

        client = Client()
        await client.connect(
            self.url,
            nkeys_seed_str=self.seed,
            inbox_prefix=f"_INBOX.{self.name}",
            error_cb=on_error,
            closed_cb=on_end,
            allow_reconnect=False,
            connect_timeout=5,
        )
        return client


def refused(installed: Installation, seed: str, name: str) -> bool:
    async def tried() -> bool:
        try:
            client = await Guest(installed, seed, name).connect()
        except (nats.errors.Error, OSError):
            return True
        await client.close()
        return False

    return asyncio.run(tried())


def test_at_nats_it_hears_where_it_may_and_publishes_into_no_stream(installed: Installation) -> None:
    """Also not where it may over HTTP: an acknowledgement could be sent from there to any subject."""
    seed = made(installed, "sensor", "--publish", "custom.sensor.>", "--read", "custom.answers.>")
    wait_until(lambda: not refused(installed, seed, "sensor"), 20, "nats-server to know the key")
    installed.run("cron", "add", "tea", "@daily")
    (job,) = [one for one in schedules(installed) if ".job." in one]

    async def visit() -> list[str]:
        guest = Guest(installed, seed, "sensor")
        client = await guest.connect()
        heard: list[str] = []

        async def hear(message: Any) -> None:
            heard.append(message.subject)

        await client.subscribe("agent.events.custom.answers.>", cb=hear)
        for subject in (OTHER, "agent.events.llm.output", "$JS.API.STREAM.PURGE.agent_events", "_INBOX.other.x"):
            await client.publish(subject, b"{}")
        for subject in ("key.porch.agent.events.custom.door.x", f"key.sensor.{OTHER}", "key.sensor.x"):
            await client.publish(subject, b"{}")
        for reply in (job, "agent.leases.x", "agent.events.custom.victim"):
            await client.publish("agent.events.custom.sensor.a", b"{}", reply=reply)
        for pattern in ("agent.events.>", ">", "_INBOX.>", "$JS.>", "agent.events.custom.secret", "key.sensor.>"):
            await client.subscribe(pattern, cb=hear)
        for reply in (job, "agent.leases.x", "agent.events.custom.victim", "_INBOX.other.x", "_INBOX.sensor.>"):
            await client.publish("key.sensor.agent.events.custom.sensor.b", b"{}", reply=reply)
        await client.flush(5)
        installed.sidecar.publish("agent.events.custom.answers.a", {"n": 1})
        installed.sidecar.publish("agent.events.custom.secret", {"n": 1})
        await asyncio.sleep(1)
        await client.close()
        assert len([one for one in guest.errors if "permissions violation" in one.lower()]) == 16, guest.errors
        return heard

    assert asyncio.run(visit()) == ["agent.events.custom.answers.a"]
    for subject in (OTHER, "agent.events.custom.sensor.a", "agent.events.custom.victim"):
        assert not stored(installed, subject)
    assert len(stored(installed, "agent.events.custom.sensor.b")) == 5  # taken in, and answered nowhere
    assert [one["name"] for one in installed.run("cron")["jobs"]] == ["tea"]
    installed.run("cron", "remove", "tea")


def at_nats(installed: Installation, seed: str, name: str, ask: Callable[[Client], Awaitable[Any]]) -> Any:
    """What `ask` gets as a NATS client with a limited key."""

    async def visit() -> Any:
        client = await Guest(installed, seed, name).connect()
        try:
            return await ask(client)
        finally:
            await client.close()

    wait_until(lambda: not refused(installed, seed, name), 20, "nats-server to know the key")
    return asyncio.run(visit())


def test_at_nats_what_it_publishes_is_stored_as_its_own_and_acknowledged(installed: Installation) -> None:
    """With the publish of a client's JetStream, which repeats what was not answered."""
    seed = made(installed, "meter", "--publish", "custom.meter.>")
    where, http = "key.meter.agent.events.custom.meter.power", "agent.events.custom.meter.power"
    event = {"specversion": "1.0", "id": "e-1", "source": "urn:meter", "type": "t", "agentid": "main", "data": {"w": 3}}
    binary = {"ce-id": "b", "ce-source": "x", "ce-type": "t", "ce-specversion": "1.0"}

    async def ask(client: Client) -> list[Any]:
        jetstream = client.jetstream()
        done = [
            await jetstream.publish(where, b'{"w": 1}', headers={"Nats-Msg-Id": "m-1"}),
            await jetstream.publish(where, b'{"w": 1}', headers={"Nats-Msg-Id": "m-1"}),
            await jetstream.publish(where, json.dumps(event).encode()),
            await jetstream.publish(where, b"7.5", headers=binary),
            await jetstream.publish(where, "72 °F".encode(), headers={"Content-Type": "text/plain"}),
        ]
        return [(one.stream, one.seq, bool(one.duplicate)) for one in done]

    answers = at_nats(installed, seed, "meter", ask)
    found = stored(installed, http)
    assert [one["sequence"] for one in found] == [answers[place][1] for place in (0, 2, 3, 4)]
    assert [answer[0] for answer in answers] == ["agent_events"] * 5
    assert [answer[2] for answer in answers] == [False, True, False, False, False]
    assert {(one["origin"], one["tainted"]) for one in found} == {("key:meter", True)}
    assert [one["event"].get("data") for one in found] == [{"w": 1}, {"w": 3}, 7.5, "72 °F"]
    assert [one["event"]["id"] for one in found[:3]] == ["m-1", "e-1", "b"]
    # Over HTTP the same key's id is the same event.
    status, answer = publish(installed, seed, http, id="m-1")
    assert (status, answer["duplicate"], answer["sequence"]) == (200, False, answer["sequence"])  # another source


@pytest.mark.parametrize(
    ("where", "body", "headers", "code", "said"),
    [
        ("agent.events.custom.wide.a", b"{", {"Content-Type": "application/cloudevents+json"}, 422, "JSON"),
        ("agent.events.custom.wide.a", b'{"specversion":"1.0","id":"1"}', {}, 422, "source"),
        ("agent.events.custom.wide.a", b"x", {"ce-specversion": "1.0", "ce-id": "1"}, 422, "ce-"),
        ("agent.events.message.received", b"{}", {}, 403, "nobody but the Gateway"),
        ("agent.events.cron.tea", b"{}", {}, 403, "nobody but the Gateway"),
        ("agent.events.agents.main.x", b"{}", {}, 403, "nobody but the Gateway"),
        ("agent.events.custom.wide.a", b"[" * 200_000, {}, 422, ""),
        ("agent.events.custom.wide.a", b'"' + b"x" * (1 << 20) + b'"', {}, 413, "limit"),
    ],
)  # fmt: skip
def test_at_nats_what_cannot_be_stored_is_answered_with_why(
    installed: Installation, where: str, body: bytes, headers: dict[str, str], code: int, said: str
) -> None:
    file = installed.state / "wide.key"
    if not file.exists():
        installed.run("keys", "add", "wide", "--publish", "agent.events.>", "--file", str(file))

    async def ask(client: Client) -> Any:
        return json.loads((await client.request(f"key.wide.{where}", body, timeout=20, headers=headers or None)).data)

    answer = at_nats(installed, file.read_text().strip(), "wide", ask)
    assert answer["error"]["code"] == code, answer
    assert said in answer["error"]["description"]
    assert installed.sidecar.get("/api/routes")[0] == 200


@pytest.mark.parametrize("empty", ["", "   "])
def test_at_nats_an_empty_id_is_none_and_half_a_character_is_made_whole(installed: Installation, empty: str) -> None:
    name = f"blank{len(empty)}"
    seed = made(installed, name, "--publish", f"custom.{name}")

    async def ask(client: Client) -> list[Any]:
        where, answers = f"key.{name}.agent.events.custom.{name}", []
        for body in (b'{"n": 1}', b'{"n": 2}', b'{"t": "\\ud800"}'):
            answers.append(
                json.loads((await client.request(where, body, timeout=20, headers={"Nats-Msg-Id": empty})).data)
            )
        return answers

    answers = at_nats(installed, seed, name, ask)
    assert not [one for one in answers if "error" in one or one.get("duplicate")]
    found = stored(installed, f"agent.events.custom.{name}")
    assert [one["event"]["data"] for one in found] == [{"n": 1}, {"n": 2}, {"t": "\ufffd"}]
    assert len({one["event"]["id"] for one in found}) == 3


def test_a_key_that_floods_nats_holds_up_nobody_else(installed: Installation) -> None:
    seed = made(installed, "flood", "--publish", "custom.flood")
    restarts = json.loads((installed.home / "run" / "up.json").read_text())["children"]["nats-server"]["restarts"]
    slowest = [0.0]

    async def ask(client: Client) -> None:
        until = time.monotonic() + 8
        large, ended = b'"' + b"x" * 900_000 + b'"', threading.Event()

        def others() -> None:
            while not ended.is_set():
                began = time.monotonic()
                assert installed.sidecar.publish("agent.events.custom.other", {"n": 1})[0] == 200
                slowest[0] = max(slowest[0], time.monotonic() - began)

        watching = asyncio.create_task(asyncio.to_thread(others))
        try:
            while time.monotonic() < until:
                for _ in range(500):
                    await client.publish("key.flood.agent.events.custom.flood", b"{}", reply="_INBOX.flood.x")
                await client.publish("key.flood.agent.events.custom.flood", large)
                await asyncio.sleep(0)
        finally:
            ended.set()
            await watching

    at_nats(installed, seed, "flood", ask)
    assert slowest[0] < 8, slowest
    state = json.loads((installed.home / "run" / "up.json").read_text())["children"]["nats-server"]
    assert state["restarts"] == restarts  # nobody has taken JetStream for stalled
    wait_until(lambda: publish(installed, seed, "agent.events.custom.flood")[0] == 200, 30, "the key itself")
    installed.run("keys", "revoke", "flood")


def test_at_nats_many_at_once_are_each_stored_once_or_answered(installed: Installation) -> None:
    seed = made(installed, "many", "--publish", "custom.many")
    where = "key.many.agent.events.custom.many"

    async def ask(client: Client) -> list[Any]:
        async def one(number: int) -> Any:
            reply = await client.request(where, b"%d" % number, timeout=30, headers={"Nats-Msg-Id": f"n-{number}"})
            return json.loads(reply.data)

        answers = await asyncio.gather(*(one(number) for number in range(2000)))
        for number, answer in enumerate(answers):
            while "error" in answers[number]:
                assert answer["error"]["code"] == 503, answer
                answers[number] = await one(number)
        return answers

    answers = at_nats(installed, seed, "many", ask)
    assert len({answer["seq"] for answer in answers}) == 2000
    ids = [one["event"]["id"] for one in stored(installed, "agent.events.custom.many")]
    assert sorted(ids) == sorted(f"n-{number}" for number in range(2000))


def schedules(installed: Installation) -> list[str]:
    """The subjects of the stream of schedules."""

    async def asked() -> list[str]:
        async with operator(installed) as client:
            return list(
                (await client.jetstream().stream_info("agent_schedules", subjects_filter=">")).state.subjects or {}
            )

    return asyncio.run(asked())


@contextlib.asynccontextmanager
async def operator(installed: Installation) -> AsyncIterator[Client]:
    """A NATS client with the password of the operator's own programs."""
    client = Client()
    password = (installed.home / "nats-password").read_text().strip()
    await client.connect(f"nats://127.0.0.1:{installed.ports['nats']}", user="openclaw-nats", password=password)
    try:
        yield client
    finally:
        await client.close()


def test_an_acknowledgement_is_no_event(installed: Installation) -> None:
    """Whoever publishes over NATS chooses where JetStream's acknowledgement goes; permissions are not about that."""
    installed.run("routes", "add", "victim", "custom.victim", "agent:main:main")
    installed.run("pause", "--route", "victim")

    async def visit() -> None:
        async with operator(installed) as client:
            await client.publish("agent.events.custom.replies", b"{}", reply="agent.events.custom.victim")
            await client.flush(5)

    asyncio.run(visit())
    wait_until(lambda: stored(installed, "agent.events.custom.victim"), 10, "the acknowledgement")
    time.sleep(1.5)
    assert not installed.run("pending")["deliveries"]
    installed.run("routes", "remove", "victim")


def test_what_reads_on_and_on_keeps_no_command_out(installed: Installation) -> None:
    installed.run("config", "set", "sidecar.max_connections", "20")
    key = made(installed, "greedy", "--read", "custom.greedy")
    links = [http.client.HTTPConnection("127.0.0.1", installed.ports["sidecar"], timeout=20) for _ in range(24)]
    try:
        for link in links:
            link.request("GET", "/api/events?follow=true", headers={"Authorization": f"Bearer {key}"})
        time.sleep(0.5)
        assert "routes" in installed.run("routes")
        assert installed.sidecar.get("/api/routes")[0] == 200
    finally:
        for link in links:
            link.close()
        installed.run("keys", "revoke", "greedy")
        installed.run("config", "set", "sidecar.max_connections", "512")


def test_a_key_reads_over_so_many_connections_and_no_more(installed: Installation) -> None:
    key = made(installed, "reader", "--read", "custom.reader")
    links = [http.client.HTTPConnection("127.0.0.1", installed.ports["sidecar"], timeout=20) for _ in range(12)]

    def ask(link: http.client.HTTPConnection) -> int:
        link.request("GET", "/api/events?follow=true", headers={"Authorization": f"Bearer {key}"})
        return link.getresponse().status

    try:
        answers = [ask(link) for link in links]
        assert answers == [200] * 8 + [503] * 4
        for link in links[:8]:
            link.close()
        again = http.client.HTTPConnection("127.0.0.1", installed.ports["sidecar"], timeout=20)
        links.append(again)

        def room() -> bool:
            again.close()
            return ask(again) == 200

        wait_until(room, 60, "the readers that are gone to be noticed")
    finally:
        for link in links:
            link.close()


def test_at_nats_it_ends_at_once_too(installed: Installation) -> None:
    seed = made(installed, "guest", "--read", "custom.guest")
    soon = made(installed, "soon2", "--read", "custom.guest", "--expires", "6s")
    wait_until(lambda: not refused(installed, seed, "guest") and not refused(installed, soon, "soon2"), 20, "the users")

    async def stay() -> float:
        guest = Guest(installed, seed, "guest")
        await guest.connect()
        await asyncio.to_thread(installed.run, "keys", "revoke", "guest")
        began = time.monotonic()
        await asyncio.wait_for(guest.gone.wait(), 20)
        return time.monotonic() - began

    assert asyncio.run(stay()) < 10
    assert refused(installed, seed, "guest")
    wait_until(lambda: refused(installed, soon, "soon2"), 20, "the end of the key that expires")
    assert publish(installed, publisher(installed), f"{DOOR}.after")[0] == 200
    assert installed.sidecar.get("/api/health")[1]["nats"]["reachable"] is True


def test_keys_hold_after_a_restart_and_in_a_backup(installed: Installation, tmp_path: Path) -> None:
    key = publisher(installed)
    gone = made(installed, "gone", "--publish", "custom.gone", "--read", "custom.gone")
    installed.run("restart")
    assert publish(installed, key, f"{DOOR}.restarted")[0] == 200
    assert not refused(installed, gone, "gone")
    archive = tmp_path / "backup.tar.gz"
    installed.run("backup", str(archive))
    installed.run("keys", "revoke", "publisher")
    assert publish(installed, key, f"{DOOR}.x")[0] == 401
    installed.run("restore", str(archive), "--yes")
    wait_until(lambda: installed.sidecar.get("/api/health")[0] == 200, 30, "the sidecar")
    assert publish(installed, key, f"{DOOR}.restored")[0] == 200
    wait_until(lambda: not refused(installed, gone, "gone"), 20, "nats-server to know the key again")
    assert publish(installed, gone, "agent.events.custom.gone")[0] == 200


def test_as_the_how_to_says_with_a_file(installed: Installation) -> None:
    """The examples of docs/how-to/keys.md, on this installation's ports."""
    text = (ROOT / "docs" / "how-to" / "keys.md").read_text()
    folder = installed.state
    installed.run("keys", "add", "door", "--publish", "custom.door.>", "--file", str(folder / "door.key"))
    rights = ("--publish", "custom.lights.done", "--read", "custom.lights.>")
    installed.run("keys", "add", "lights", *rights, "--file", str(folder / "lights.key"))
    wait_until(lambda: not refused(installed, (folder / "lights.key").read_text().strip(), "lights"), 20, "the user")

    def script(language: str) -> str:
        found = text.partition(f"```{language}\n")[2].partition("```")[0]
        found = found.replace("127.0.0.1:3104", f"127.0.0.1:{installed.ports['sidecar']}")
        return found.replace("127.0.0.1:4222", f"127.0.0.1:{installed.ports['nats']}")

    before = len(stored(installed, f"{DOOR}.front"))
    done = subprocess.run(
        ["bash", "-e"], input=script("bash"), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(stored(installed, f"{DOOR}.front")) == before + 1
    with subprocess.Popen(
        [sys.executable, "-c", script("python")], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as one:

        def heard() -> bool:
            installed.sidecar.publish("agent.events.custom.lights.hall", {"on": True})
            return one.poll() is not None

        wait_until(heard, 30, "the program to hear an event")
        assert one.returncode == 0
        assert one.stdout is not None
        subject, sequence = one.stdout.read().split()
    assert subject == "agent.events.custom.lights.hall"
    (done_event,) = stored(installed, "agent.events.custom.lights.done")
    assert (str(done_event["sequence"]), done_event["origin"]) == (sequence, "key:lights")


def test_many_commands_at_once_lose_no_key(installed: Installation) -> None:
    threads = [threading.Thread(target=made, args=(installed, f"many-{n}", "--publish", "custom.m")) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    names = {one["name"] for one in installed.run("keys")["keys"]}
    assert {f"many-{n}" for n in range(6)} <= names


def test_guesses_open_nothing(installed: Installation) -> None:
    for guess in (new_secret()[0], "SU" + "A" * 56, "", "SU", "su" + "a" * 56, "\xff" * 58, "SU" + "A" * 20_000):
        status, _ = publish(installed, guess.encode("latin-1", "replace").decode("latin-1"), f"{DOOR}.x")
        assert status in (400, 401, 431), guess[:10]
