"""One record that can't be handled is put aside with its reason, and nothing else notices."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from tests.support import jetstream
from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

ROUTES: dict[str, dict[str, Any]] = {
    "plain": {},
    "cel": {"when": "priority >= 1"},
    "inside": {"when": "has(data.n) || !has(data.n)"},
    "template": {"template": "{% for e in events %}{{ e.data }};{% endfor %}"},
    "key": {"flow": {"key": "subject"}},
}
LAST = "LAST-ONE"
JSON = {"Content-Type": "application/json"}


class Sink:
    """A webhook's target that keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def cloud_event(number: str, data: str) -> bytes:
    head = json.dumps(
        {"specversion": "1.0", "id": number, "source": "s", "type": "t", "subject": "agent.events.custom.poison"}
    )
    return f'{head[:-1]},"data":{data}}}'.encode()


POISON = [
    '{"n":1e400}',
    '{"n":-1e400}',
    '{"n":1e-400}',
    '{"n":-0}',
    '{"n":' + "9" * 400 + "}",
    '{"n":' + "9" * 100_000 + "}",
    '{"n":1e99999999999}',
    '{"n":"\\ud83d"}',
    *("[" * depth + "]" * depth for depth in (100, 255, 300, 400, 900, 990, 5000, 100_000)),
    *('{"a":' * depth + "1" + "}" * depth for depth in (100, 255, 300, 400, 900, 990, 5000)),
]


@pytest.mark.parametrize("way", ["nats", "api"])
def test_no_event_is_so_strange_that_the_next_one_is_not_delivered(bus: Bus, sink: Sink, way: str) -> None:
    for name, more in ROUTES.items():
        bus.route(name, "agent.events.custom.>", f"agent:{name}:main", **more)
    bus.route("hook", "agent.events.custom.>", {"kind": "webhook", "url": sink.url})
    bus.route("again", "agent.events.custom.>", {"kind": "subject", "subject": "agent.events.again.a"})
    pid = bus.sidecar.process.pid
    for number, data in enumerate(POISON):
        body = cloud_event(f"e{number}", data)
        if way == "nats":
            jetstream.publish(bus.nats, "agent.events.custom.poison", body)
            jetstream.publish(bus.nats, "agent.events.custom.foreign", data.encode())
        else:
            assert bus.sidecar.post_events([body])[0] == 200
            request = b'{"subject":"agent.events.custom.p","payload":' + data.encode() + b"}"
            status, _, answer = bus.sidecar.request("POST", "/api/publish", request, JSON)
            assert status in (200, 400, 422), answer
    bus.publish("last", {"k": LAST})

    def all_have_it() -> bool:
        texts = bus.messages()
        again = bus.sidecar.events("?subject=agent.events.again.a")
        return (
            sum(LAST in text for text in texts) == len(ROUTES)
            and any(LAST.encode() in body for body in sink.bodies)
            and any(LAST in json.dumps(one.get("data")) for one in again)
        )

    wait_until(all_have_it, 60, "the last event on every route")
    assert bus.sidecar.process.pid == pid
    log = (bus.sidecar.home / "sidecar.out").read_text()
    assert ".bug" not in log
    assert "task.failed" not in log
    reasons = {one["reason"] for one in bus.dead()}
    assert any("out of range, such as 1e400" in reason for reason in reasons)
    assert not any("a fault in openclaw-nats" in reason for reason in reasons)
    if way == "nats":
        assert any("nested more than 256 levels" in reason for reason in reasons)
    assert any(b'"n":1e400' in body for body in sink.bodies)  # who need not read the number gets it as it is written
    for path in ("/api/live/recent", "/api/usage", "/api/activity", "/api/events/1", "/api/subjects", "/metrics"):
        assert bus.sidecar.request("GET", path)[0] == 200, path
    assert len(bus.sidecar.request("GET", "/api/events")[2].splitlines()) > 10
    caller = {"agentId": "main", "sessionKey": "agent:main:main"}
    body = {"caller": caller, "parameters": {"subject": "agent.events.custom.>", "limit": 100}}
    assert bus.call("POST", "/api/tools/nats_events", body)[0] == 200
    assert bus.call("POST", "/api/routes/inside/test", {"since": "1h"})[0] == 200
    stored = len(bus.sidecar.request("GET", "/api/events")[2].splitlines())
    shows = [f"events show {number}" for number in range(1, stored, 5)]
    for words in ("events", "events --json", "dead", "receipts", "pending", *shows):
        done = bus.sidecar.command(*words.split())
        assert done.returncode == 0, (words, done.stderr)
    assert '"n":1e400' in bus.sidecar.command("events", "--json").stdout  # for machines it is as it was written


HEADERS = [
    b"\r\n\r\n",
    b"NATS",
    b"X",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 \xff\xfe\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\nA\r\n: x\r\n B : c\r\n\r\n",
    b"NATS/1.0\r\nContent-Type: \xfc\r\nNats-Msg-Id: \r\n\r\n",
]
SUBJECTS = [b"\xff", b"\xed\xa0\x80", b"a\x00b", b"\x1b[31m", b"*", b"a" * 3000, b".".join([b"a"] * 100), b"\\"]


def test_no_header_and_no_subject_is_so_strange_that_the_next_event_is_not_delivered(bus: Bus) -> None:
    """nats-server stores any bytes as both; nats-py ended its read loop at them, and again at each redelivery."""
    bus.route("all", "agent.events.custom.>", {"kind": "subject", "subject": "agent.events.again.a"})
    jetstream.publish_raw(bus.nats, b"agent.events.custom.twice", b"1", b"NATS/1.0\r\nce-id: 1\r\nCE-Id: 2\r\n\r\n")
    for headers in HEADERS:
        assert jetstream.publish_raw(bus.nats, b"agent.events.custom.headers", b'{"a":1}', headers) == b"PONG\r\n"
    for subject in SUBJECTS:
        jetstream.publish_raw(bus.nats, b"agent.events.custom.subject." + subject, b'{"a":1}')
    bus.publish("last", {"k": LAST})

    def last() -> bool:
        again = bus.sidecar.events("?subject=agent.events.again.a")
        return any(LAST in json.dumps(one.get("data")) for one in again)

    wait_until(last, 20, "the last event")
    everything = bus.sidecar.events("?subject=agent.events.custom.>")
    assert len(everything) == len(HEADERS) + len(SUBJECTS) + 2
    assert all(one.get("data", {"a": 1}) == {"a": 1} for one in everything[1:-1])
    reasons = [one["reason"] for one in bus.dead()]
    assert "the header ce-id appears twice" in reasons
    assert len(reasons) == 1 + 5, reasons  # the others can be delivered
    log = (bus.sidecar.home / "sidecar.out").read_text()
    assert "nats.disconnected" not in log
    assert ".bug" not in log


def test_a_dead_letter_that_nats_cannot_hold_goes_without_its_event(bus: Bus) -> None:
    bus.route("a", "agent.events.custom.>", "main", when="data.n > 1")
    control = b"\x01" * 500_000  # 6 bytes each in JSON: over max_payload
    jetstream.publish(bus.nats, "agent.events.custom.big", control)
    bus.publish("small", {"n": "no number"})

    def letters() -> list[dict[str, Any]]:
        return [json.loads(one["data"]) for one in jetstream.read(bus.nats, "agent_dlq")]

    found = wait_until(lambda: letters() if len(letters()) == 2 else None, 20, "both dead letters in the stream")
    assert ["event" for one in found if one["event"]] == ["event"]
    assert [one["eventLeftOut"] for one in found if not one["event"]] == [found[-1]["eventLeftOut"]]
    assert "bytes long" in found[-1]["eventLeftOut"]
    assert len(bus.dead()) == 2


def test_an_event_that_is_too_large_to_go_out_again_is_a_dead_letter_at_once(tmp_path: Path) -> None:
    bus = Bus(tmp_path)
    bus.nats.config.write_text(bus.nats.config.read_text().replace("max_payload: 2MB", "max_payload: 128KB"))
    try:
        bus.start()
        for name, subject in (("a", "agent.events.again.a"), ("b", "plain.subject")):
            target = {"kind": "subject", "subject": subject}
            bus.route(name, "agent.events.custom.>", target, payload={"x": "y" * 60_000})
        bus.publish("big", {"n": "z" * 100_000})
        bus.publish("small", {"n": 1})
        assert bus.settled(4) == {**bus.states(), "dead": 2, "delivered": 2}
        assert all("bytes long; NATS takes" in one["reason"] for one in bus.dead())
    finally:
        bus.close()


def test_a_job_that_this_version_cannot_read_keeps_its_ticks_and_is_listed_and_removed(bus: Bus) -> None:
    call = bus.call
    assert call("POST", "/api/cron", {"name": "newer", "cron": "0 0 1 1 *"})[0] == 201
    assert call("POST", "/api/cron", {"name": "mine", "cron": "0 0 1 1 *"})[0] == 201
    [record] = [one for one in jetstream.read(bus.nats, "agent_schedules") if one["subject"].endswith(".newer")]
    document = json.loads(record["data"])
    document["document"]["ofTomorrow"] = "a field of a newer version"
    ticks = {one["subject"] for one in jetstream.read(bus.nats, "agent_schedules") if ".armed." in one["subject"]}
    assert len(ticks) == 2
    jetstream.publish(bus.nats, record["subject"], json.dumps(document).encode())
    jetstream.publish(bus.nats, "agent.schedules.job.damaged", b"\xff\x00")
    jetstream.publish(bus.nats, "agent.schedules.tick.timer.damaged", b"[1e400]")
    jetstream.publish(bus.nats, "agent.schedules.fired.cron.mine.17.a", b"no event")
    jetstream.publish(bus.nats, "agent.schedules.fired.timer.x.17.a", b'{"data":[]}')
    bus.sidecar.kill()
    bus.sidecar.start()
    bus.sidecar.wait_up()
    status, listed = call("GET", "/api/cron")
    assert status == 200
    assert [one["name"] for one in listed["jobs"]] == ["mine"]
    assert [one["name"] for one in listed["unreadable"]] == ["damaged", "newer"]
    assert "ofTomorrow" in listed["unreadable"][1]["reason"]
    status, timers = call("GET", "/api/timers")
    assert status == 200
    assert timers["timers"] == []
    assert [one["name"] for one in timers["unreadable"]] == ["damaged"]
    assert call("GET", "/api/logs/fires")[0] == 200
    assert call("GET", "/api/cron/mine/history")[0] == 200
    log = bus.sidecar.home / "sidecar.out"
    wait_until(lambda: "cron.unreadable" in log.read_text(), 20, "the keeper to meet it")
    left = {one["subject"] for one in jetstream.read(bus.nats, "agent_schedules") if ".armed.cron" in one["subject"]}
    assert left == ticks
    assert call("GET", "/api/cron/newer")[0] == 422
    assert call("DELETE", "/api/cron/newer")[0] == 204
    assert call("DELETE", "/api/cron/damaged")[0] == 204
    assert call("DELETE", "/api/timers/damaged")[0] == 204
    assert "unreadable" not in call("GET", "/api/cron")[1]
    left = {one["subject"] for one in jetstream.read(bus.nats, "agent_schedules") if ".armed.cron" in one["subject"]}
    assert left == {one for one in ticks if "=mine." in one}


def test_foreign_records_among_the_ticks_of_a_job_cost_the_job_nothing(bus: Bus) -> None:
    assert bus.call("POST", "/api/cron", {"name": "mine", "cron": "* * * * * *"})[0] == 201

    def armed() -> list[str]:
        request = {"subjects_filter": "agent.schedules.armed.cron.>"}
        return list(jetstream.api(bus.nats, "STREAM.INFO.agent_schedules", request)["state"].get("subjects") or {})

    key, revision = wait_until(armed, what="armed ticks")[0].split(".")[4::2]
    armed_at = f"agent.schedules.armed.cron.{key}"
    foreign = [
        *(f"{armed_at}.{tick}.{revision}" for tick in ("notanumber", "9" * 40, "-5", "\u0663", "=")),
        *(f"{armed_at}.1", f"{armed_at}.1.{revision}.more", f"{armed_at}.2.other"),
        *(f"agent.schedules.{kind}.cron.{key}.{tick}.x" for kind in ("fired", "skipped") for tick in ("9" * 40, "zz")),
        *("agent.schedules.job", "agent.schedules.job.=.=", "agent.schedules.armed.cron.a", "agent.leases.x.y"),
    ]
    for number, subject in enumerate(foreign):
        body = (b"", b"\x00\xff", b"[]", b"null", b"{" * 5000, b"9" * 1_900_000)[number % 6]
        assert "error" not in jetstream.publish(bus.nats, subject, body), subject

    def ticks() -> int:
        return len(bus.sidecar.events("?subject=agent.events.cron.mine"))

    wait_until(lambda: not [one for one in armed() if one in foreign[:5]], 30, "that the job was looked at")
    before = ticks()
    wait_until(lambda: ticks() >= before + 15, 40, "ticks that go on")
    assert [job["name"] for job in bus.call("GET", "/api/cron")[1]["jobs"]] == ["mine"]
    assert bus.call("GET", "/api/cron/mine/history")[0] == 200
    assert bus.sidecar.get("/api/health")[1]["schedules"]["lastError"] == ""


def _documents(good: dict[str, Any]) -> dict[str, tuple[str, bytes]]:
    """Where each unreadable job lies below `agent.schedules.job.`, and what it holds; `good` is a document of ours."""
    own = "test-gateway"
    newer = {**good, "document": {**good["document"], "name": "newer", "guard": "ask"}}
    wrong = {**good, "document": {**good["document"], "name": "wrong", "cron": 5}, "since": "yesterday"}
    nowhere = {**good, "document": {**good["document"], "name": "elsewhere"}}
    return {
        "newer": (f"{own}.newer", json.dumps(newer).encode()),
        "wrong": (f"{own}.wrong", json.dumps(wrong).encode()),
        f"{own}=bytes": (f"{own}.bytes", b"\xff\x00\x80"),
        f"{own}=empty": (f"{own}.empty", b""),
        f"{own}=null": (f"{own}.null", b"null"),
        f"{own}=deep": (f"{own}.deep", b"[" * 100_000),
        f"{own}=number": (f"{own}.number", b'{"since":1e400}'),
        f"{own}=named": (f"{own}.named", json.dumps(nowhere).encode()),
        f"{own}=a=b": (f"{own}.a.b", b"{}"),
        "old": ("old", b"[]"),
    }


def test_unreadable_jobs_and_timers_disarm_nothing_and_every_command_goes_on(bus: Bus) -> None:
    call = bus.call
    for name, expression in (("each second", "* * * * * *"), ("yearly", "0 0 1 1 *")):
        assert call("POST", "/api/cron", {"name": name, "cron": expression})[0] == 201
    assert call("POST", "/api/timers", {"name": "tea", "delay": "2h"})[0] == 201
    found = {one["subject"]: one["data"] for one in jetstream.read(bus.nats, "agent_schedules")}
    own = next(subject for subject in found if subject.endswith(".yearly")).split(".")[3]
    good = json.loads(found[f"agent.schedules.job.{own}.yearly"])
    bad = {
        name.replace("test-gateway", own): (place.replace("test-gateway", own), body)
        for name, (place, body) in _documents(good).items()
    }
    for place, body in bad.values():
        jetstream.publish(bus.nats, f"agent.schedules.job.{place}", body)
    timers = {f"{own}=bytes": b"\xff", f"{own}=null": b"null", f"{own}=list": b'{"data":{"_timer":[]}}', "old": b"{}"}
    for key, body in timers.items():
        where = "armed" if "=" in key else "tick"
        jetstream.publish(bus.nats, f"agent.schedules.{where}.timer.{key}", body)
    for strange in (f"armed.cron.{own}=yearly.soon", f"armed.cron.{own}=yearly.x.y.z", "fired.x", "skipped.x.y"):
        jetstream.publish(bus.nats, f"agent.schedules.{strange}", b"no event")
    bus.sidecar.kill()
    bus.sidecar.start()
    bus.sidecar.wait_up()

    for kind, listed, remove, names in (
        ("cron", "jobs", "remove", sorted(bad)),
        ("timers", "timers", "cancel", sorted(timers)),
    ):
        machine = json.loads(bus.sidecar.command(kind, "list", "--json").stdout)
        assert [one["name"] for one in machine["unreadable"]] == names
        assert len(machine[listed]) == (2 if kind == "cron" else 1)
        text = " ".join(bus.sidecar.command(kind).stdout.split())
        for one in machine["unreadable"]:
            assert f"{one['name']} can't be used by this version: {one['reason']}" in text
            assert f"`openclaw-nats {kind} {remove} {one['name']}`" in text
        assert text.index("can't be used") < text.index("NAME")
    for name in bad:
        done = bus.sidecar.command("cron", "show", name)
        assert (done.returncode, "can't be read by this version" in done.stderr) == (2, True), name
        assert f"openclaw-nats cron remove {name}" in done.stderr
    done = bus.sidecar.command("cron", "add", "newer", "@daily")
    assert (done.returncode, "can't be read by this version" in done.stderr) == (2, True)
    assert bus.sidecar.command("cron", "edit", "yearly", "--payload", '{"a":1}').returncode == 0
    assert call("GET", "/api/logs/fires")[0] == 200
    fired = len(call("GET", "/api/cron/each%20second/history")[1]["runs"])
    wait_until(lambda: len(call("GET", "/api/cron/each%20second/history")[1]["runs"]) > fired + 1, 15, "it to go on")
    armed = [
        one["subject"] for one in jetstream.read(bus.nats, "agent_schedules") if f".{own}=yearly." in one["subject"]
    ]
    assert len(armed) == 1
    for name in bad:
        assert bus.sidecar.command("cron", "remove", name).returncode == 0, name
    for name in timers:
        assert bus.sidecar.command("timers", "cancel", name).returncode == 0, name
    assert "unreadable" not in call("GET", "/api/cron")[1]
    assert "unreadable" not in call("GET", "/api/timers")[1]
    left = {one["subject"] for one in jetstream.read(bus.nats, "agent_schedules")}
    assert set(armed) <= left
    assert f"agent.schedules.armed.timer.{own}=tea" in left


def test_a_route_that_no_longer_compiles_is_listed_and_removed(bus: Bus) -> None:
    bus.route("good", "agent.events.custom.>", "main")
    bus.route("bad", "agent.events.custom.>", "main")
    bus.route("replaced", "agent.events.custom.>", "main")
    bus.sidecar.close()
    with sqlite3.connect(bus.sidecar.home / "sidecar.db") as db:
        for name in ("bad", "replaced"):
            db.execute(
                "UPDATE routes SET document = ? WHERE name = ?",
                (
                    json.dumps({"name": name, "pattern": "agent.events.custom.>", "target": "main", "ofTomorrow": 1}),
                    name,
                ),
            )
    bus.sidecar.start()
    bus.sidecar.wait_up()
    status, listed = bus.call("GET", "/api/routes")
    assert status == 200
    assert [one["name"] for one in listed["routes"]] == ["good"]
    assert [one["name"] for one in listed["unreadable"]] == ["bad", "replaced"]
    assert "ofTomorrow" in listed["unreadable"][0]["reason"]
    assert "can't be used by this version" in bus.call("GET", "/api/routes/bad")[1]["detail"]
    assert bus.call("DELETE", "/api/routes/bad")[0] == 204
    bus.route("replaced", "agent.events.custom.>", "main")
    listed = bus.call("GET", "/api/routes")[1]
    assert "unreadable" not in listed
    assert [one["name"] for one in listed["routes"]] == ["good", "replaced"]
    bus.publish("a", {"n": 1})
    assert bus.settled(2)["delivered"] == 2


@pytest.mark.parametrize("kind", ["endless", "drip", "bomb"])
def test_a_webhooks_answer_is_a_receipt_at_its_status_line(bus: Bus, kind: str) -> None:
    got = []
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packed.compress(b"\0" * (1 << 20)) for _ in range(1000)) + packed.flush()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            with contextlib.suppress(OSError):
                if kind == "bomb":
                    self.send_header("content-encoding", "gzip")
                    self.send_header("content-length", str(len(bomb)))
                    self.end_headers()
                    self.wfile.write(bomb)
                    return
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                while True:
                    part = b"x" * (1 << 20 if kind == "endless" else 1)
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                    if kind == "drip":
                        time.sleep(0.2)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        bus.route("hook", "agent.events.custom.>", {"kind": "webhook", "url": url})
        before = psutil.Process(bus.sidecar.process.pid).memory_info().rss
        bus.publish("a", {"n": 1})
        assert bus.settled(1, 10)["delivered"] == 1
        assert psutil.Process(bus.sidecar.process.pid).memory_info().rss - before < 50 << 20
        assert len(got) == 1
    finally:
        server.shutdown()
        server.server_close()
