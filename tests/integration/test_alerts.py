"""Alerts reach real receivers: signed, once they are up, and whatever is killed in between."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.http_receiver import Receiver, receiving
from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CONTENT = "PRIVATE-WORDS-OF-A-CHAT"


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def add(bus: Bus, name: str, receiver: Receiver, **more: Any) -> None:
    body = {"name": name, "to": receiver.url, "secret": SECRET, "window": "1s", "without": ["plugin"], **more}
    status, answer = bus.call("POST", "/api/alerts", body)
    assert status == 201, answer
    assert "T0PSECRET" not in json.dumps(answer)


def die(bus: Bus) -> None:
    """A dead letter, whose event has words that nobody else may read."""
    away = {"kind": "webhook", "url": "http://127.0.0.1:1/"}
    bus.route("dies", "agent.events.custom.dies", away, retry={"attempts": 1})
    bus.publish("dies", {"text": CONTENT})
    wait_until(bus.dead, what="a dead letter")


def of_kind(receiver: Receiver, kind: str, part: str = "raised") -> list[dict[str, Any]]:
    bodies = [json.loads(body) for _, body in list(receiver.got)]
    return [one for body in bodies for one in body["data"][part] if one["kind"] == kind]


def command(bus: Bus, *words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "openclaw_nats", *words],
        env=bus.sidecar.environment | (environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_dead_letter_is_told_signed_without_content_and_its_end_is_told_too(bus: Bus) -> None:
    with receiving() as receiver:
        add(bus, "phone", receiver)
        die(bus)
        wait_until(lambda: of_kind(receiver, "dead-letters"), what="the alert")
        headers, body = receiver.got[0]
        assert Webhook(SECRET).verify(body.decode(), headers)
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body.decode() + " ", headers)
        assert of_kind(receiver, "dead-letters")[0]["link"].endswith("/dashboard/#/deliveries")
        bus.call("POST", "/api/dead/drop", {"route": "dies"})
        wait_until(lambda: of_kind(receiver, "dead-letters", "recovered"), 60, what="that it is over")
        assert len(of_kind(receiver, "dead-letters")) == 1
        told = b"".join(body for _, body in receiver.got).decode()
    for secret in (CONTENT, "T0PSECRET", SECRET):
        assert secret not in told
        assert secret not in (bus.sidecar.home / "sidecar.out").read_text()
        assert secret not in json.dumps(bus.call("GET", "/api/audit?limit=1000")[1])
        assert secret not in json.dumps(bus.call("GET", "/api/alerts")[1])
        assert secret not in json.dumps(bus.call("GET", "/api/health")[1])
    acts = [one["act"] for one in bus.call("GET", "/api/audit?limit=1000")[1]["records"]]
    assert "alerts.add" in acts
    assert stat.S_IMODE((bus.sidecar.home / "alerts.json").stat().st_mode) == 0o600


def test_content_is_sent_by_a_channel_that_was_made_with_it_alone(bus: Bus) -> None:
    with receiving() as plain, receiving() as receiver:
        add(bus, "plain", plain)
        made = ("alerts", "add", "open", "--to", receiver.url, "--unsigned", "--window", "1s", "--content", "--json")
        assert json.loads(command(bus, *made).stdout)["channel"]["content"] is True
        assert "with what events hold" in command(bus, "alerts", "show", "open").stdout
        die(bus)
        wait_until(lambda: of_kind(receiver, "dead-letters"), what="the alert")
        wait_until(lambda: of_kind(plain, "dead-letters"), what="the alert without it")
        [held] = of_kind(receiver, "dead-letters")[0]["content"]
        assert held.startswith("dies: agent.events.custom.dies: ")
        assert CONTENT in held
        assert "content" not in of_kind(plain, "dead-letters")[0]
        assert CONTENT not in b"".join(body for _, body in plain.got).decode()


def test_an_alert_that_was_raised_before_a_kill_is_sent_after_it_once_under_its_id(bus: Bus) -> None:
    with receiving(up=False) as receiver:
        add(bus, "phone", receiver)
        die(bus)

        def waits() -> list[dict[str, Any]]:
            found = bus.call("GET", "/api/alerts/phone/history")[1]["messages"]
            return [one for one in found if one["state"] == "waiting" and one["attempts"]]

        (message,) = wait_until(waits, what="a message that can't be sent")
        shown = bus.call("GET", "/api/alerts/phone")[1]
        assert shown["waiting"] == 1
        assert "can't be reached" in shown["lastError"]
        assert any("the alert channel phone fails" in one for one in bus.health()["notes"])
        bus.sidecar.kill()
        receiver.start()
        bus.sidecar.start()
        wait_until(lambda: of_kind(receiver, "dead-letters"), what="the alert")
        time.sleep(5)
        assert [headers["webhook-id"] for headers, body in receiver.got if b"dead-letters" in body] == [message["id"]]
        wait_until(lambda: bus.call("GET", "/api/alerts/phone")[1]["lastError"] == "", what="a channel that works")
        assert not any("alert channel" in one for one in bus.health()["notes"])


def test_a_receiver_that_stalls_holds_up_no_other_and_not_the_bus(bus: Bus) -> None:
    with receiving() as stalled, receiving() as other:
        stalled.answer = 0
        add(bus, "a-stalled", stalled)
        add(bus, "other", other)
        die(bus)
        wait_until(lambda: stalled.asked and of_kind(other, "dead-letters"), 12, what="the other's alert")
        began = time.monotonic()
        for number in range(50):
            bus.publish("free", {"n": number})
        assert time.monotonic() - began < 10
        assert bus.call("GET", "/api/alerts/a-stalled")[1]["waiting"] >= 1


def test_what_a_receiver_refuses_is_tried_again_under_the_same_id(bus: Bus) -> None:
    with receiving() as receiver:
        receiver.answer = 503
        add(bus, "phone", receiver)
        die(bus)
        wait_until(lambda: len(receiver.asked) >= 2, what="a second attempt")
        receiver.answer = 200
        wait_until(lambda: of_kind(receiver, "dead-letters"), what="the alert")
        assert len(set(receiver.asked[:3])) == 1

        def sent() -> list[dict[str, Any]]:
            found = bus.call("GET", "/api/alerts/phone/history")[1]["messages"]
            return [one for one in found if one["state"] == "sent" and one["id"] == receiver.asked[0]]

        (message,) = wait_until(sent, what="that it is known to be sent")
        assert message["attempts"] == len([one for one in receiver.asked if one == message["id"]])


def test_the_command_line_makes_tests_pauses_and_removes_a_channel(bus: Bus, tmp_path: Path) -> None:
    with receiving() as receiver:
        added = command(
            bus, "alerts", "add", "ntfy", "--to", "env:NTFY_URL", "--format", "text", "--secret-to",
            str(tmp_path / "secret"), "--quiet", "22:00-07:00@Europe/Amsterdam", environment={"NTFY_URL": receiver.url},
        )  # fmt: skip
        assert added.returncode == 0, added.stderr
        assert "T0PSECRET" not in added.stdout
        tested = command(bus, "alerts", "test", "ntfy")
        assert tested.returncode == 0, tested.stderr
        headers, body = receiver.got[0]
        assert headers["content-type"].startswith("text/plain")
        assert body.decode().endswith("this is a test, nothing is wrong\n")
        secret = (tmp_path / "secret").read_text().strip()
        signed = Webhook(secret).sign(
            headers["webhook-id"], datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC), body.decode()
        )
        assert headers["webhook-signature"] == signed, "the library's own verifier reads JSON alone"
        receiver.answer = 500
        failed = command(bus, "alerts", "test", "ntfy")
        assert failed.returncode == 1
        assert "answered 500" in failed.stdout
        assert command(bus, "alerts", "pause", "ntfy").returncode == 0
        assert "paused" in command(bus, "alerts").stdout
        assert json.loads(command(bus, "alerts", "show", "ntfy", "--json").stdout)["paused"] is True
        assert command(bus, "alerts", "resume", "ntfy").returncode == 0
        assert command(bus, "alerts", "history", "ntfy").returncode == 0
        assert command(bus, "alerts", "remove", "ntfy").returncode == 0
        assert bus.call("GET", "/api/alerts/ntfy")[0] == 404
        acts = [one["act"] for one in bus.call("GET", "/api/audit?limit=1000")[1]["records"]]
        assert {"alerts.add", "alerts.change", "alerts.remove", "alerts.test"} <= set(acts)


def test_a_service_that_apprise_knows_gets_text_and_its_address_stays_secret(bus: Bus, tmp_path: Path) -> None:
    """ntfy's own form: a POST of JSON with the topic, which Apprise makes."""
    with receiving() as receiver:
        address = tmp_path / "address"
        address.write_text(f"ntfy://user:T0PSECRET@127.0.0.1:{receiver.port}/mytopic\n")
        done = bus.sidecar.command("alerts", "add", "phone", "--to-file", str(address), "--window", "0s", timeout=90)
        assert done.returncode == 0, done.stderr
        assert "T0PSECRET" not in done.stdout + done.stderr
        assert "ntfy://…" in bus.sidecar.command("alerts", "show", "phone").stdout
        assert bus.sidecar.command("alerts", "test", "phone", timeout=90).returncode == 0
        (headers, body), *_ = receiver.got
        assert "this is a test" in json.dumps(json.loads(body))
        assert headers["authorization"].startswith("Basic ")
        die(bus)
        wait_until(lambda: any(b"dead letters: 1" in one for _, one in list(receiver.got)), 60, "the alert")
        told = b"".join(one for _, one in receiver.got)
        assert CONTENT.encode() not in told
        assert b"#/deliveries" in told
        receiver.answer = 403
        refused = bus.sidecar.command("alerts", "test", "phone", timeout=90)
        assert refused.returncode == 1
        assert "the service did not take it" in refused.stdout + refused.stderr
        log = (bus.sidecar.home / "logs" / "sidecar.log").read_text()
        shown = json.dumps([bus.call("GET", "/api/alerts")[1], bus.call("GET", "/api/audit")[1]])
        assert "T0PSECRET" not in log + shown


def test_a_service_that_stalls_ends_with_its_process(bus: Bus) -> None:
    with receiving() as receiver:
        receiver.answer = 0
        add(bus, "phone", receiver, to=f"json://127.0.0.1:{receiver.port}/", secret="", format="text", window="0s")
        die(bus)
        wait_until(lambda: receiver.asked, 60, "the first attempt")
        bus.publish("a", {})
        assert bus.sidecar.get("/api/health")[0] == 200
        wait_until(lambda: bus.call("GET", "/api/alerts/phone")[1]["lastError"], 90, "the error")


@pytest.mark.parametrize(
    ("address", "more", "field"),
    [
        ("nosuch://T0PSECRET", {}, "to"),
        ("slack://T0PSECRET", {}, "to"),
        ("ftp://T0PSECRET", {}, "to"),
        ("ntfy://127.0.0.1/T0PSECRET", {"secret": SECRET}, "secret"),
    ],
)
def test_what_is_no_service_is_refused(bus: Bus, address: str, more: dict[str, str], field: str) -> None:
    status, problem = bus.call("POST", "/api/alerts", {"name": "phone", "to": address, "format": "text", **more})
    assert (status, problem["field"]) == (400, field), problem
    assert "T0PSECRET" not in json.dumps(problem)


def test_what_the_bus_says_of_itself_reaches_a_webhook_by_a_route(bus: Bus) -> None:
    with receiving() as receiver:
        bus.route("bus", "agent.events.bus.>", {"kind": "webhook", "url": receiver.url})
        bus.call("POST", "/api/pause", {"reason": "a test"})
        wait_until(lambda: any(b"agent.events.bus.paused" in body for _, body in receiver.got), what="the notice")


def test_agents_make_no_channel(bus: Bus) -> None:
    refused = command(bus, "alerts", "add", "x", "--to", "http://127.0.0.1:1/", environment={"OPENCLAW_SHELL": "exec"})
    assert refused.returncode != 0
    assert bus.call("GET", "/api/alerts")[1]["channels"] == []


def test_without_the_key_there_is_nothing(bus: Bus) -> None:
    for method, path in (("GET", "/api/alerts"), ("POST", "/api/alerts"), ("POST", "/api/alerts/x/test")):
        assert bus.sidecar.request(method, path, b"{}", {"Content-Type": "application/json"}, key="wrong")[0] == 401
