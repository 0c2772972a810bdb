"""NATS and sidecar are killed, stopped and hang: what was acknowledged is there, what was not is told."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import threading
import time
from pathlib import Path

from tests.support.processes import NatsServer, Sidecar, event, wait_until


def test_duplicates_are_known_across_a_restart_of_the_sidecar(sidecar: Sidecar) -> None:
    sidecar.post_events([event(n) for n in range(10)])
    sidecar.kill()
    sidecar.start()
    answer = sidecar.post_events([event(n) for n in range(5, 15)])[1]
    assert (answer["accepted"], answer["duplicates"]) == (5, 5)
    assert len(sidecar.events()) == 15


def test_while_nats_is_away_it_is_503_with_retry_after_and_it_comes_back(nats: NatsServer, sidecar: Sidecar) -> None:
    sidecar.publish("agent.events.custom.before", 1, id="before")
    nats.kill()
    status, headers, body = _publish(sidecar, "during")
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert json.loads(body)["type"] == "urn:openclaw-nats:problem:unavailable"
    assert sidecar.post_events([event("during")])[0] == 503
    assert sidecar.request("GET", "/api/events")[0] == 503
    assert sidecar.get("/api/health", key="") == (503, {"status": "down"})
    assert sidecar.get("/api/health")[1]["nats"]["lastError"]
    nats.start()
    wait_until(lambda: sidecar.publish("agent.events.custom.after", 1, id="after")[0] == 200, what="NATS to be back")
    assert {one["id"] for one in sidecar.events()} == {"before", "after"}


def test_a_request_under_way_when_nats_dies_is_answered_503_at_once(nats: NatsServer, sidecar: Sidecar) -> None:
    nats.signal(signal.SIGSTOP)  # so that the publish is sent but not answered
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(_publish(sidecar, "caught")[0]))
    thread.start()
    time.sleep(0.5)
    began = time.monotonic()
    nats.kill()
    thread.join(10)
    assert answers == [503]
    assert time.monotonic() - began < 3


def test_a_hanging_nats_is_503_and_the_sidecar_recovers(nats: NatsServer, sidecar: Sidecar) -> None:
    nats.signal(signal.SIGSTOP)
    status, answer = sidecar.publish("agent.events.custom.a", 1, id="hanging")
    assert status == 503
    assert "may have been stored" in answer["hint"]
    assert "same id" in answer["hint"]
    nats.signal(signal.SIGCONT)
    wait_until(lambda: _publish(sidecar, "hanging")[0] == 200, what="the sidecar to recover")
    assert [one["id"] for one in sidecar.events()] == ["hanging"]


def test_the_sidecar_starts_before_nats_and_waits_for_it(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats")
    sidecar = Sidecar(tmp_path / "state", nats)
    sidecar.start(wait=False)
    try:
        wait_until(lambda: sidecar.get("/api/health")[0] == 503, what="the sidecar to say that it is down")
        nats.start()
        sidecar.wait_up()
        assert sidecar.publish("agent.events.custom.a", 1)[0] == 200
    finally:
        sidecar.close()
        nats.close()


def test_a_wrong_nats_password_is_told(tmp_path: Path, nats: NatsServer) -> None:
    sidecar = Sidecar(tmp_path / "state", nats)
    (sidecar.home / "nats-password").write_text("wrong")
    sidecar.start(wait=False)
    try:
        wait_until(lambda: "authorization" in _last_error(sidecar).lower(), what="the refusal in health")
        assert sidecar.get("/api/health")[1]["nats"]["reachable"] is False
    finally:
        sidecar.close()


def test_events_survive_kill_9_of_nats_right_after_the_acknowledgement(nats: NatsServer, sidecar: Sidecar) -> None:
    for number in range(5):
        assert sidecar.publish("agent.events.custom.a", number, id=f"kept-{number}")[0] == 200
        nats.kill()
        nats.start()
        wait_until(lambda: sidecar.get("/api/health")[0] == 200, what="NATS to be back")
    assert [one["id"] for one in sidecar.events()] == [f"kept-{number}" for number in range(5)]


def test_a_retry_after_the_deduplication_window_is_found_in_the_stream(tmp_path: Path, nats: NatsServer) -> None:
    sidecar = Sidecar(tmp_path / "state", nats, config='[stream]\nduplicate_window = "1s"\n')
    sidecar.start()
    try:
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
        sidecar.post_events([event(n) for n in range(3)])
        time.sleep(1.6)
        without = sidecar.post_events([event(0)])[1]
        assert without["accepted"] == 1  # the window is over: JetStream itself no longer knows the id
        retry = sidecar.post_events([event(n) for n in range(1, 5)], {"openclaw-nats-retry-since": began})[1]
        assert (retry["accepted"], retry["duplicates"]) == (2, 2)
    finally:
        sidecar.close()


def test_the_stream_is_made_again_when_somebody_deletes_it(nats: NatsServer, sidecar: Sidecar) -> None:
    _jetstream(nats, "STREAM.DELETE.agent_events")
    assert _publish(sidecar, "gone")[0] == 503
    wait_until(lambda: _publish(sidecar, "gone")[0] == 200, seconds=45, what="the stream to be made again")


def test_sigterm_answers_what_is_under_way_and_ends(sidecar: Sidecar) -> None:
    """Many publish without a pause: what was answered 200 is stored, and nobody's answer breaks off half-way."""
    assert sidecar.process is not None
    answered: list[str] = []
    refused: list[int] = []

    def publish(worker: int) -> None:
        for number in itertools.count():
            status = _publish(sidecar, f"last-{worker}-{number}")[0]
            if status != 200:
                refused.append(status)
                return
            answered.append(f"last-{worker}-{number}")

    threads = [threading.Thread(target=publish, args=(worker,)) for worker in range(20)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answered) > 50, what="answers")
    before = len(answered)
    sidecar.process.send_signal(signal.SIGTERM)
    assert sidecar.process.wait(10) in (0, -signal.SIGTERM)
    for thread in threads:
        thread.join(10)
    assert len(answered) >= before
    assert len(refused) == len(threads)
    assert set(refused) <= {0, 503}  # nobody listens any more, or it said so
    sidecar.start()
    assert set(answered) <= {one["id"] for one in sidecar.events()}


def _publish(sidecar: Sidecar, event_id: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps({"subject": "agent.events.custom.x", "payload": 1, "id": event_id}).encode()
    try:
        return sidecar.request("POST", "/api/publish", body, {"Content-Type": "application/json"})
    except (OSError, http.client.HTTPException):
        return 0, {}, b""


def _last_error(sidecar: Sidecar) -> str:
    return str(sidecar.get("/api/health")[1]["nats"]["lastError"])


def _jetstream(nats: NatsServer, operation: str, request: object = None) -> dict:  # type: ignore[type-arg]
    from tests.support.jetstream import api

    return api(nats, operation, request)
