"""A house behind NAT: `openclaw-nats receive` on a small server hands over what providers send, through a leaf node."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import signal
import ssl
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nats
import nats.errors
import pytest
from nats.aio.client import Client

from openclaw_nats.keys.making import new_secret
from openclaw_nats.port_holder import free_port
from tests.support.cluster import Server
from tests.support.installation import Installation
from tests.support.processes import NatsServer, Sidecar, wait_until
from tests.support.receive import DOOR, FILES, SECRETS, ReceiverProcess, Receiving, certificates, signed

WEBHOOKS = "agent.events.webhook.>"


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Receiving]:
    one = Receiving(tmp_path)
    try:
        one.start()
        yield one
    finally:
        one.close()


def github(number: int | str) -> bytes:
    return json.dumps({"action": "opened", "n": number}).encode()


def test_what_providers_sign_arrives_in_the_house_once_and_wakes_its_route(both: Receiving) -> None:
    target = {"kind": "subject", "subject": "agent.events.custom.woken"}
    route = {"name": "r", "pattern": "agent.events.webhook.gh.>", "target": target}
    assert both.sidecar.call("POST", "/api/routes", route)[0] == 201
    headers = {"x-github-event": "issues"}
    status, answer = both.send("gh", "github", github(1), "one", **headers)
    assert (status, answer["subject"]) == (202, "agent.events.webhook.gh.issues.opened")
    assert both.send("gh", "github", github(1), "one", **headers)[0] == 200
    paid = b'{"id": "evt_1", "type": "invoice.paid"}'
    assert both.send("pay", "stripe", paid)[0] == 202
    assert both.send("pay", "stripe", paid)[0] == 200
    forged = signed("github", github(2), "another-secret", "two")
    status, _, body = both.receiver.request("POST", both.receiver.addresses()["gh"], github(2), forged)
    assert status == 401
    assert SECRETS["gh"].encode() not in body
    found = both.stored()
    subjects = [one["event"]["subject"] for one in found]
    assert subjects == ["agent.events.webhook.gh.issues.opened", "agent.events.webhook.pay.invoice.paid"]
    assert {(one["origin"], one["tainted"]) for one in found} == {("key:vps", True)}
    assert found[0]["event"]["id"] == answer["id"] == "gh:one"
    assert found[0]["event"]["data"] == {"action": "opened", "n": 1}
    wait_until(lambda: len(both.stored("agent.events.custom.woken")) == 1, 20, "the route's delivery")
    assert [(one["source"], one["status"]) for one in both.receiver.lines("delivery")] == [
        ("gh", 202),
        ("gh", 200),
        ("pay", 202),
        ("pay", 200),
        ("gh", 401),
    ]


def test_only_addresses_and_health_are_open(both: Receiving) -> None:
    address = both.receiver.addresses()["gh"]
    for method, path in (
        ("GET", "/"),
        ("GET", "/api/health"),
        ("GET", "/api/sources"),
        ("POST", "/api/publish"),
        ("POST", f"/dashboard{address}"),
        ("GET", "/dashboard"),
        ("GET", "/metrics"),
        ("POST", "/healthz"),
    ):
        assert both.receiver.request(method, path, b"{}")[0] == 404, path
    for method, path in (("POST", "/in/gh/wrong"), ("GET", address), ("POST", "/in/nobody/x"), ("POST", "/in")):
        assert both.receiver.request(method, path, b"{}")[0] == 401, path
    assert both.receiver.health() == 204
    for file in ("sources.json", "receiver.db", "audit-key"):
        assert stat.S_IMODE((both.receiver.folder / "receive-state" / file).stat().st_mode) == 0o600, file
    log = both.receiver.log.read_text()
    assert not [text for text in (*SECRETS.values(), both.receiver.key_file.read_text().strip()) if text in log]
    assert address.rpartition("/")[2] not in log


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_while_the_house_is_away_it_is_503_and_later_stored_once(both: Receiving, how: str) -> None:
    both.receiver.addresses()
    if how == "stop":
        both.house.signal(signal.SIGSTOP)
    else:
        both.house.kill()
    path, headers = both.receiver.addresses()["gh"], signed("github", github(1), SECRETS["gh"])
    status, answered, body = both.receiver.request("POST", path, github(1), headers)
    assert (status, int(answered["retry-after"]) > 0) == (503, True), body
    assert b"house" not in body  # where and why is no affair of who sends
    wait_until(lambda: both.receiver.health() == 503, 20, "its health")
    assert both.receiver.lines("house.unavailable")
    if how == "stop":
        both.house.signal(signal.SIGCONT)
    else:
        both.house.start()
    wait_until(lambda: both.receiver.health() == 204, 60, "its health")

    def again() -> bool:
        return both.receiver.request("POST", path, github(1), headers)[0] in (200, 202)

    wait_until(again, 60, "the repetition is taken")
    assert both.receiver.request("POST", path, github(1), headers)[0] == 200
    wait_until(lambda: both.sidecar.get("/api/health")[0] == 200, 30, "the sidecar")
    assert [one["event"]["data"]["n"] for one in both.stored()] == [1]


def test_an_answer_that_was_lost_longer_ago_than_the_stream_remembers_ids(both: Receiving) -> None:
    """Stored, and not noted here; it comes again when JetStream has forgotten its id."""
    import sqlite3

    assert both.send("gh", "github", github(1), "one")[0] == 202
    both.receiver.kill()
    with sqlite3.connect(both.receiver.folder / "receive-state" / "receiver.db") as db:
        db.execute("UPDATE source_deliveries SET stored = 0, first_at = first_at - 3000")
    run(both.house.url, user="openclaw-nats", password="test-nats-password", work=forget_ids)
    both.receiver.start()
    status, answer = both.send("gh", "github", github(1), "one")
    assert (status, answer["duplicate"]) == (200, True)
    assert len(both.stored()) == 1


async def forget_ids(client: Client) -> None:
    """JetStream keeps ids for two minutes or more: the stream is told to keep them for less, and that is waited for."""
    info = json.loads((await client.request("$JS.API.STREAM.INFO.agent_events", timeout=5)).data)
    config = info["config"] | {"duplicate_window": 200_000_000}
    answer = json.loads(
        (await client.request("$JS.API.STREAM.UPDATE.agent_events", json.dumps(config).encode(), timeout=5)).data
    )
    assert "error" not in answer, answer
    await asyncio.sleep(1)


def test_each_delivery_is_stored_once_while_the_receiver_is_killed(both: Receiving) -> None:
    """A provider that repeats what was not answered with 2xx."""
    path, done = both.receiver.addresses()["pay"], threading.Event()

    def deliver(number: int) -> None:
        body = json.dumps({"id": f"evt_{number}", "type": "invoice.paid", "n": number}).encode()
        headers, deadline = signed("stripe", body, SECRETS["pay"]), time.monotonic() + 120
        while time.monotonic() < deadline:
            status = 0
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, _, _ = both.receiver.request("POST", path, body, headers)
            if status in (200, 202):
                return
            assert status in (0, 408, 503), status
            time.sleep(0.2)
        raise AssertionError("it was never taken")

    def kill() -> None:
        for _ in range(5):
            if done.wait(0.7):
                return
            both.receiver.kill()
            both.receiver.start(wait=False)

    killer = threading.Thread(target=kill)
    killer.start()
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(slowly, deliver, number) for number in range(200)]:
            future.result()
    done.set()
    killer.join(60)
    assert sorted(one["event"]["data"]["n"] for one in both.stored()) == list(range(200))


def slowly(deliver: Callable[[int], None], number: int) -> None:
    time.sleep(0.08)
    deliver(number)


def run(url: str, work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    async def whole() -> Any:
        client = await nats.connect(url, connect_timeout=3, max_reconnect_attempts=2, **options)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(whole())


EVIL = ("agent.events.custom.x", "agent.schedules.job.x", "agent.leases.x", "$JS.API.STREAM.INFO.agent_events")


def test_the_small_servers_user_may_hand_over_and_nothing_else(both: Receiving) -> None:
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    async def attack(client: Client) -> None:
        for subject in (*EVIL, "key.lights.agent.events.custom.x", "$SYS.REQ.USER.INFO"):
            await client.publish(subject, b'{"n": 1}', reply="_INBOX.vps.x")
        for subject in ("agent.>", ">", "_INBOX.>", "key.>", "$JS.>"):
            await client.subscribe(subject)
        await client.flush()
        await asyncio.sleep(0.5)
        for tried in ("x", "nan", "inf", "-1e300", "1e9", "1,5"):
            headers = {"Openclaw-Nats-First-Try": tried}
            reply = await client.request("key.vps.agent.events.webhook.gh.x", b"1", timeout=10, headers=headers)
            assert json.loads(reply.data)["error"]["code"] == 400, reply.data

    own = {"nkeys_seed": str(both.receiver.key_file), "inbox_prefix": b"_INBOX.vps"}
    run(both.vps.url, attack, error_cb=note, **own)
    assert sum("permissions violation" in one for one in refused) == 11, refused
    assert both.stored("agent.events.>") == []


def test_a_stolen_small_server_reaches_one_key_in_the_house_and_nothing_else(tmp_path: Path) -> None:
    """Its nats-server is the thief's: nobody is asked for permissions there."""
    text = (FILES / "vps.conf").read_text()
    stolen = tmp_path / "stolen.conf"
    stolen.write_text(re.sub(r", permissions: \{[^{}]*\}", "", text))
    assert "permissions" not in stolen.read_text()
    both = Receiving(tmp_path, stolen)
    heard: list[str] = []

    async def attack(client: Client) -> list[Any]:
        async def keep(message: Any) -> None:
            heard.append(message.subject)

        await client.subscribe(">", cb=keep)
        answers: list[Any] = []
        for subject in (*EVIL, "key.lights.agent.events.custom.x", "key.lights.agent.events.webhook.x"):
            try:
                answers.append((await client.request(subject, b'{"n": 1}', timeout=1)).data)
            except nats.errors.Error as error:
                answers.append(type(error).__name__)
        for subject in ("agent.events.message.received", "agent.events.custom.x", "agent.events.cron.x"):
            reply = await client.request(f"key.vps.{subject}", b'{"n": 1}', timeout=5)
            answers.append(json.loads(reply.data)["error"]["code"])
        private = {"subject": "agent.events.custom.secret", "payload": "the code is 4711"}
        assert (await asyncio.to_thread(both.sidecar.call, "POST", "/api/publish", private))[0] == 200
        await asyncio.sleep(1)
        return answers

    try:
        made = both.sidecar.command("keys", "add", "lights", "--publish", "custom.>")
        assert made.returncode == 0, made.stderr
        both.start()
        own = {"nkeys_seed": str(both.receiver.key_file), "inbox_prefix": b"_INBOX.vps"}
        answers = run(both.vps.url, attack, **own)
        assert set(answers[:-3]) <= {"NoRespondersError", "TimeoutError"}, answers
        assert answers[-3:] == [403, 403, 403]
        assert {one["event"]["subject"] for one in both.stored("agent.events.>")} == {"agent.events.custom.secret"}
        assert not [one for one in heard if one.startswith(("agent.", "$JS.")) and one not in EVIL], heard
    finally:
        both.close()


def test_a_key_that_is_revoked_ends_it(both: Receiving) -> None:
    assert both.send("gh", "github", github(1), "one")[0] == 202
    assert both.sidecar.command("keys", "revoke", "vps").returncode == 0
    wait_until(lambda: both.receiver.health() == 503, 20, "its health")
    assert both.send("gh", "github", github(2), "two")[0] == 503
    assert "refuses the key" in both.receiver.lines("house.unavailable")[-1]["error"]
    both.make_key("--publish", "webhook.pay.>")
    both.vps.kill()
    both.vps.start()
    both.receiver.kill()
    both.receiver.start()
    assert both.send("gh", "github", github(2), "two")[0] == 503  # the new key may not publish there
    assert "webhook.pay" in both.receiver.lines("house.not_allowed")[-1]["error"]
    assert both.send("pay", "stripe", b'{"id": "evt_1", "type": "t"}')[0] == 202
    assert len(both.stored()) == 2


def test_what_the_house_does_not_take_is_said_to_who_sends(both: Receiving) -> None:
    assert both.send("gh", "github", b"{broken")[0] == 422
    assert both.send("gh", "github", b"x" * ((1 << 20) + 1))[0] == 413
    both.sidecar.kill()
    assert both.send("gh", "github", github(1))[0] == 503
    text = (both.sidecar.home / "config.toml").read_text()
    (both.sidecar.home / "config.toml").write_text(text + '[filter]\nblock = ["agent.events.webhook.gh.>"]\n')
    both.sidecar.start()
    wait_until(lambda: both.receiver.health() == 204, 20, "its health")
    assert both.send("gh", "github", github(1))[0] == 202  # the operator does not want it: nobody has to send it again
    assert both.stored() == []


def test_its_file_is_applied_at_sighup_and_addresses_stay(both: Receiving) -> None:
    before = dict(both.receiver.addresses())
    assert both.send("gh", "github", github(1), "one")[0] == 202
    for broken in ("x = 1\n", '[[source]]\nname = "cam"\ntype = "unsigned"\n', "[[source"):
        both.receiver.write(("gh", "github"), more=broken)
        both.receiver.reload("receiver.file_refused")
    assert both.send("pay", "stripe", b'{"id": "evt_1", "type": "t"}')[0] == 202  # as it was
    both.receiver.write(("gh", "github"))
    (both.receiver.folder / "gh.secret").write_text("another-secret\n")
    both.receiver.reload()
    assert both.send("pay", "stripe", b'{"id": "evt_2", "type": "t"}')[0] == 401  # taken out: its address has ended
    headers = signed("github", github(2), "another-secret", "two")
    assert both.receiver.request("POST", before["gh"], github(2), headers)[0] == 202
    assert both.send("gh", "github", github(3), "three")[0] == 202  # the secret before counts for a day more
    both.receiver.signal(signal.SIGTERM)
    assert both.receiver.process is not None
    assert both.receiver.process.returncode == 0
    both.receiver.start()
    assert both.send("gh", "github", github(1), "one")[0] == 200  # it knows what came before
    both.receiver.known = {}
    assert both.receiver.addresses() == {"gh": before["gh"]}


def test_a_replaced_secret_ends_where_its_file_says_so(both: Receiving) -> None:
    both.receiver.addresses()
    (both.receiver.folder / "gh.secret").write_text("another-secret\n")
    both.receiver.reload()
    assert both.send("gh", "github", github(1), "one")[0] == 202  # for a day more
    both.receiver.head = "keep_replaced_secret = 0\n" + both.receiver.head
    both.receiver.write(("gh", "github"), ("pay", "stripe"))
    both.receiver.reload()
    assert both.send("gh", "github", github(2), "two")[0] == 401
    (both.receiver.folder / "gh.secret").write_text("a-third-secret\n")
    both.receiver.reload()
    headers = signed("github", github(3), "another-secret", "three")
    assert both.receiver.request("POST", both.receiver.addresses()["gh"], github(3), headers)[0] == 401
    headers = signed("github", github(3), "a-third-secret", "three")
    assert both.receiver.request("POST", both.receiver.addresses()["gh"], github(3), headers)[0] == 202


def test_one_process_has_a_state_folder(both: Receiving) -> None:
    done = both.receiver.run(code=2)
    assert "runs already" in done.stderr
    assert both.receiver.health() == 204


def test_a_file_that_is_wrong_ends_it_in_words(tmp_path: Path) -> None:
    one = Receiving(tmp_path).receiver
    one.write(("gh", "unsigned"))
    done = one.run(code=2)
    assert "nothing that proves nothing" in done.stderr
    assert "Traceback" not in done.stderr
    one.write(("gh", "github"))
    assert "/in/gh/" in one.run("--show").stdout


def test_by_tls_and_before_its_nats_is_there_it_asks_to_come_again(tmp_path: Path) -> None:
    ca, certificate, key = certificates(tmp_path)
    more = f'tls_certificate = "{certificate}"\ntls_key = "{key}"'
    one = ReceiverProcess(tmp_path / "receiver", f"nats://127.0.0.1:{free_port()}", more)
    one.key_file.write_text(new_secret()[0])
    one.key_file.chmod(0o600)
    context = ssl.create_default_context(cafile=str(ca))

    def ask(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
        connection = http.client.HTTPSConnection("127.0.0.1", one.port, timeout=20, context=context)
        try:
            connection.request(method, path, body or None, headers or {})
            return connection.getresponse().status
        finally:
            connection.close()

    try:
        one.start(wait=False)
        assert wait_until(lambda: ask("GET", "/healthz"), 30, "an answer by TLS") == 503
        address = json.loads(one.run("--show", "--json").stdout)["sources"][0]["address"]
        assert address.startswith(f"https://127.0.0.1:{one.port}/in/gh/")
        path = address.partition(f":{one.port}")[2]
        assert ask("POST", path, github(1), signed("github", github(1), SECRETS["gh"])) == 503
        assert ask("POST", path, github(1), signed("github", github(1), "wrong")) == 401
        with pytest.raises((OSError, http.client.HTTPException)):
            one.request("GET", "/healthz")
    finally:
        one.close()


def test_a_house_with_a_nats_of_ours_has_a_second_one_for_the_link(tmp_path: Path) -> None:
    """As `setup` makes it: `up` runs nats-server, and link.conf is beside it."""
    both = Receiving(tmp_path)
    house = Installation(tmp_path / "managed")
    link = Server(tmp_path, "link", FILES / "link.conf", both.link)
    link.environment["LINK_LISTEN"] = f"127.0.0.1:{link.port}"
    try:
        house.start()
        made = house.run("keys", "add", "vps", "--publish", "webhook.>", "--file", str(tmp_path / "new.key"))
        shutil.copy(tmp_path / "new.key", both.receiver.key_file)
        both.vps.environment["RECEIVER_KEY"] = made["public"]
        both.vps.start()
        link.start()
        house.stop()
        values = {"url": link.url, "user": "door", "password_file": str(tmp_path / "door-password"), "key": "vps"}
        for name, value in values.items():
            house.run("config", "set", f"receiver.{name}", value)
        house.start()
        both.receiver.start()
        assert both.send("gh", "github", github(1))[0] == 202
        answer = house.sidecar.request("GET", "/api/events?subject=agent.events.webhook.%3E&numbered=true")
        (found,) = [json.loads(line) for line in answer[2].splitlines()]
        assert found["origin"] == "key:vps"
        assert "ermission" not in (house.home / "logs" / "sidecar.log").read_text()
        house.run("keys", "revoke", "vps")
        wait_until(lambda: both.receiver.health() == 503, 20, "its health")
    finally:
        link.close()
        house.stop()
        both.close()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('key = "vps"\n', "receiver.url, receiver.user, receiver.password_file"),
        ('key = "vps"\nurl = "nats://127.0.0.1:1"\n', "receiver.user"),
        ('key = "VPS"\nurl = "nats://127.0.0.1:1"\nuser = "x"\n', "VPS"),
    ],
)
def test_half_of_the_houses_settings_is_said_and_stops_nothing_else(tmp_path: Path, lines: str, says: str) -> None:
    nats = NatsServer(tmp_path / "nats")
    nats.start()
    one = Sidecar(tmp_path / "state", nats, f"[receiver]\n{lines}")
    try:
        one.start()
        assert one.publish("agent.events.custom.x", 1)[0] == 200
        notes = " ".join(one.get("/api/health")[1]["delivery"]["notes"])
        assert "the receiver is not heard" in notes
        assert says in notes
    finally:
        one.close()
        nats.close()


def test_settings_that_can_not_be_right_are_refused_before_they_are_saved(tmp_path: Path) -> None:
    house = Installation(tmp_path / "house")
    password = tmp_path / "password"
    password.write_text("a-password\n")
    password.chmod(0o644)
    try:
        house.start()
        house.run("keys", "add", "vps", "--publish", "webhook.>", "--file", str(tmp_path / "vps.key"))
        for name, value in (("url", "nats://127.0.0.1:1"), ("user", "door")):
            house.run("config", "set", f"receiver.{name}", value)
        for name, value, says in (
            ("password_file", str(tmp_path / "nosuch"), "nosuch can't be read: No such file"),
            ("password_file", str(password), "can be read by others"),
            ("key", "vps", "receiver.password_file"),
        ):
            done = house.command("config", "set", f"receiver.{name}", value)
            assert done.returncode == 2, done.stdout + done.stderr
            assert says in " ".join(done.stderr.split())
        password.chmod(0o600)
        house.run("config", "set", "receiver.password_file", str(password))
        done = house.command("config", "set", "receiver.key", "vsp")
        assert (done.returncode, "Did you mean" in done.stderr) == (2, True), done.stderr
        house.run("config", "set", "receiver.key", "vps")
        noted = "the receiver 'vps' is not heard, at receiver.url"
        wait_until(lambda: noted in " ".join(house.command("status").stdout.split()), 30, "status to say it")
        house.run("keys", "revoke", "vps")
        noted = "key 'vps' is no limited key that counts"
        wait_until(lambda: noted in " ".join(house.command("status").stdout.split()), 30, "status to say it")
    finally:
        house.stop()


def test_the_files_need_every_password(tmp_path: Path) -> None:
    one = Receiving(tmp_path)
    try:
        del one.vps.environment["HOUSE_PASSWORD"]
        with pytest.raises(AssertionError, match="HOUSE_PASSWORD"):
            one.vps.start()
        assert DOOR not in (FILES / "house.conf").read_text()
    finally:
        one.close()
