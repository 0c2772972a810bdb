"""Streams are created, adopted and kept right on a real nats-server."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.jetstream import api, publish
from tests.support.processes import NATS_PASSWORD, NatsServer, Sidecar, event, wait_until

DAY = 86_400_000_000_000


@pytest.fixture
def waiting(tmp_path: Path, nats: NatsServer):  # type: ignore[no-untyped-def]
    """A sidecar that is not started yet."""
    one = Sidecar(tmp_path / "state", nats)
    yield one
    one.close()


def test_streams_are_created_as_documented(nats: NatsServer, sidecar: Sidecar) -> None:
    config = api(nats, "STREAM.INFO.agent_events")["config"]
    assert config["subjects"] == ["agent.events.>"]
    assert config["storage"] == "file"
    assert config["max_age"] == 7 * DAY
    assert config["max_bytes"] == 4 << 30
    assert config["duplicate_window"] == DAY // 144
    assert config["allow_atomic"] is True
    letters = api(nats, "STREAM.INFO.agent_dlq")["config"]
    assert letters["subjects"] == ["agent.dlq.>"]
    assert letters["max_age"] == 30 * DAY


def test_an_existing_stream_is_widened_and_never_narrowed(nats: NatsServer, waiting: Sidecar) -> None:
    theirs = {
        "name": "agent_events",
        "subjects": ["agent.events.custom.>", "other.>"],
        "storage": "file",
        "retention": "limits",
        "max_age": 365 * DAY,
        "max_bytes": 9 << 30,
        "duplicate_window": DAY // 1440,
        "description": "theirs",
    }
    assert "error" not in api(nats, "STREAM.CREATE.agent_events", theirs)
    publish(nats, "agent.events.custom.old", b"old")
    waiting.start()
    config = api(nats, "STREAM.INFO.agent_events")["config"]
    assert set(config["subjects"]) == {"other.>", "agent.events.>"}
    assert config["max_age"] == 365 * DAY
    assert config["max_bytes"] == 9 << 30
    assert config["description"] == "theirs"
    assert config["duplicate_window"] == DAY // 144
    assert config["allow_atomic"] is True
    waiting.post_events([event(1), event(2)])
    assert [one["id"] for one in waiting.events()] == ["agent_events:1", "id-1", "id-2"]


def test_a_stream_that_can_not_serve_is_told_in_health_and_nothing_is_accepted(
    nats: NatsServer, waiting: Sidecar
) -> None:
    theirs = {"name": "agent_events", "subjects": ["agent.events.>"], "storage": "file", "retention": "workqueue"}
    assert "error" not in api(nats, "STREAM.CREATE.agent_events", theirs)
    waiting.start(wait=False)
    report = wait_until(lambda: _stream_error(waiting), what="the conflict in health")
    assert "work queue" in report
    status, answer = waiting.publish("agent.events.custom.a", 1)
    assert status == 503
    assert "work queue" in answer["detail"]
    api(nats, "STREAM.DELETE.agent_events")
    waiting.wait_up()
    assert waiting.publish("agent.events.custom.a", 1)[0] == 200


def test_somebody_else_on_our_subjects_is_told(nats: NatsServer, waiting: Sidecar) -> None:
    theirs = {"name": "THEIRS", "subjects": ["agent.events.tool.>"], "storage": "file", "retention": "limits"}
    assert "error" not in api(nats, "STREAM.CREATE.THEIRS", theirs)
    waiting.start(wait=False)
    assert "overlap" in wait_until(lambda: _stream_error(waiting), what="the conflict in health")


def test_a_changed_stream_is_put_right_while_running(nats: NatsServer, sidecar: Sidecar) -> None:
    config = api(nats, "STREAM.INFO.agent_events")["config"]
    assert "error" not in api(nats, "STREAM.UPDATE.agent_events", config | {"duplicate_window": DAY // 1440})
    wait_until(
        lambda: api(nats, "STREAM.INFO.agent_events")["config"]["duplicate_window"] == DAY // 144,
        seconds=45,
        what="the window to be put right",
    )


def test_settings_change_the_stream_that_the_sidecar_made(nats: NatsServer, sidecar: Sidecar) -> None:
    sidecar.publish("agent.events.custom.a", 1)
    sidecar.signal(signal.SIGTERM)
    _configure(sidecar, max_age="5m", max_bytes="64MiB", duplicate_window="1m")
    sidecar.start()
    config = api(nats, "STREAM.INFO.agent_events")["config"]
    assert (config["max_age"], config["max_bytes"], config["duplicate_window"]) == (DAY // 288, 64 << 20, DAY // 1440)
    assert api(nats, "STREAM.INFO.agent_dlq")["config"]["max_bytes"] == 64 << 20
    assert len(sidecar.events()) == 1
    assert sidecar.get("/api/health")[1]["nats"]["notes"] == []
    sidecar.signal(signal.SIGTERM)
    _configure(sidecar, max_age="1m")  # shorter than the default window, which JetStream would refuse
    sidecar.start()
    config = api(nats, "STREAM.INFO.agent_events")["config"]
    assert (config["max_age"], config["duplicate_window"]) == (DAY // 1440, DAY // 1440)
    assert config["max_bytes"] == 64 << 20, "a default never undoes what somebody set"


def test_settings_leave_an_adopted_stream_alone_until_the_operator_says_so(nats: NatsServer, waiting: Sidecar) -> None:
    theirs = {"name": "agent_events", "subjects": ["agent.events.>"], "storage": "file", "max_age": 365 * DAY}
    assert "error" not in api(nats, "STREAM.CREATE.agent_events", theirs)
    _configure(waiting, max_age="1d")
    waiting.start()
    assert api(nats, "STREAM.INFO.agent_events")["config"]["max_age"] == 365 * DAY
    (note,) = waiting.get("/api/health")[1]["nats"]["notes"]
    assert note.startswith("stream.max_age is 1d, but stream agent_events has 365d")
    assert "was not made by openclaw-nats" in note
    waiting.signal(signal.SIGTERM)
    _configure(waiting, max_age="1d", change_adopted="true")
    waiting.start()
    assert api(nats, "STREAM.INFO.agent_events")["config"]["max_age"] == DAY
    assert waiting.get("/api/health")[1]["nats"]["notes"] == []


def test_replicas_that_the_server_refuses_are_noted_and_stop_nothing(nats: NatsServer, sidecar: Sidecar) -> None:
    sidecar.signal(signal.SIGTERM)
    _configure(sidecar, max_age="1d", replicas="3")
    sidecar.start()
    notes = sidecar.get("/api/health")[1]["nats"]["notes"]
    assert any("stream.replicas is 3, but stream agent_events has 1 (refused" in note for note in notes)
    assert sidecar.publish("agent.events.custom.a", 1)[0] == 200
    assert api(nats, "STREAM.INFO.agent_events")["config"]["max_age"] == DAY, "the other changes are made all the same"


def test_a_full_stream_limit_with_discard_new_is_503(nats: NatsServer, waiting: Sidecar) -> None:
    theirs = {
        "name": "agent_events",
        "subjects": ["agent.events.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs": 3,
        "max_bytes": 1 << 20,
    }
    assert "error" not in api(nats, "STREAM.CREATE.agent_events", theirs)
    waiting.start()
    assert waiting.post_events([event(n) for n in range(3)])[1]["accepted"] == 3
    status, headers, body = waiting.request(
        "POST",
        "/api/publish",
        json.dumps({"subject": "agent.events.custom.a", "payload": 1}).encode(),
        {"Content-Type": "application/json"},
    )
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert "maximum messages" in json.loads(body)["detail"]
    assert waiting.post_events([event(8), event(9)])[0] == 503
    assert waiting.get("/api/health")[0] == 503
    assert waiting.metric("openclaw_nats_nats_up") == 0
    assert "maximum messages" in _stream_error(waiting)
    assert "error" not in api(nats, "STREAM.UPDATE.agent_events", theirs | {"max_msgs": 10, "allow_atomic": True})
    assert waiting.post_events([event(8), event(9)])[0] == 200
    assert waiting.get("/api/health")[0] == 200, "it is up as soon as something was stored"


def test_a_smaller_max_payload_is_413_and_not_a_broken_connection(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats")
    nats.config.write_text(nats.config.read_text().replace("max_payload: 2MB", "max_payload: 64KB"))
    nats.start()
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    try:
        assert one.publish("agent.events.custom.a", "x" * 70_000)[0] == 413
        answer = one.post_events([event(1), event(2, data="x" * 70_000), event(3)])[1]
        assert (answer["accepted"], [bad["index"] for bad in answer["rejected"]]) == (2, [1])
        assert one.publish("agent.events.custom.a", "x" * 60_000)[0] == 200
    finally:
        one.close()
        nats.close()


def test_an_event_over_the_accounts_own_limit_is_413_and_stops_no_other(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats")
    lines = [line for line in nats.config.read_text().splitlines() if not line.startswith("authorization")]
    users = f'users: [{{ user: "openclaw-nats", password: "{NATS_PASSWORD}" }}]'
    account = f"accounts {{ A {{ jetstream: enabled, limits: {{ max_payload: 8192 }}, {users} }} }}"
    nats.config.write_text("\n".join([*lines, account]))
    nats.start()
    one = Sidecar(tmp_path / "state", nats)
    try:
        one.start()
        large = [event(1), event(2, data="x" * 20_000), event(3), *(event(n) for n in range(4, 40))]
        assert one.post_events(large)[0] == 503  # NATS ends the connection, and does not tell what its limit is

        def again() -> dict[str, Any] | None:
            status, answer = one.post_events(large)
            return dict(answer) if status == 200 else None

        answer = wait_until(again, what="the others' way")
        assert [bad["index"] for bad in answer["rejected"]] == [1]
        assert answer["accepted"] + answer["duplicates"] == 38
        assert one.publish("agent.events.custom.a", "x" * 20_000)[0] == 413
        assert one.publish("agent.events.custom.a", "x" * 6_500)[0] == 200
        assert one.publish("agent.events.custom.a", "x" * 8_500)[0] == 413
        assert len(one.events()) == 39
    finally:
        one.close()
        nats.close()


def test_an_account_with_too_few_streams_says_how_many_are_needed(tmp_path: Path) -> None:
    nats = _with_account(tmp_path / "nats", "max_file: 20G, max_mem: 1G, max_streams: 2")
    sidecar = Sidecar(tmp_path / "state", nats)
    try:
        sidecar.start(wait=False)
        report = wait_until(lambda: _stream_error(sidecar), what="the refusal in health")
        assert "maximum number of streams" in report
        assert "four streams" in report
    finally:
        sidecar.close()
        nats.close()


def test_foreign_messages_are_shown_as_cloudevents(nats: NatsServer, sidecar: Sidecar) -> None:
    publish(nats, "agent.events.custom.text", b"just text")
    publish(nats, "agent.events.custom.bytes", b"\xff\xfe")
    publish(nats, "agent.events.custom.json", b'{"a":1}', {"Nats-Msg-Id": "mine"})
    publish(
        nats, "agent.events.custom.binary", b'{"b":2}', {"ce-id": "ce-1", "ce-type": "door.opened", "ce-source": "/ha"}
    )
    up_body = b'{"id":"u-1","subject":"agent.events.custom.up","payload":{"c":3},"sessionKey":"main"}'
    publish(nats, "agent.events.custom.up", up_body)
    wrapped = b'{"id":"q","pattern":"p","data":{"id":"u-2","subject":"agent.events.custom.wrapped","payload":{"d":4}}}'
    publish(nats, "agent.events.custom.wrapped", wrapped)
    text, raw, plain, binary, up, queue = sidecar.events()
    assert (text["data"], text["datacontenttype"]) == ("just text", "text/plain")
    assert raw["data_base64"] == "//4="
    assert (plain["id"], plain["data"]) == ("mine", {"a": 1})
    assert (binary["id"], binary["type"], binary["source"]) == ("ce-1", "door.opened", "/ha")
    assert (up["id"], up["data"], up["sessionkey"]) == ("u-1", {"c": 3}, "main")
    assert (queue["id"], queue["data"]) == ("u-2", {"d": 4})


def _configure(sidecar: Sidecar, **values: str) -> None:
    """Give it these settings stream.*, and no others."""
    for name in [name for name in sidecar.environment if name.startswith("OPENCLAW_NATS_STREAM_")]:
        del sidecar.environment[name]
    sidecar.environment |= {f"OPENCLAW_NATS_STREAM_{name.upper()}": value for name, value in values.items()}


def _stream_error(sidecar: Sidecar) -> str:
    report = sidecar.get("/api/health")[1]
    return str(report["nats"]["lastError"]) if report["status"] == "down" and report["nats"]["version"] else ""


ACCOUNT = """
no_auth_user: openclaw-nats
accounts {{ A {{ jetstream: {{ {limits} }}, users: [ {{ user: "openclaw-nats", password: "{password}" }} ] }} }}
"""


def _with_account(folder: Path, limits: str) -> NatsServer:
    one = NatsServer(folder)
    lines = [line for line in one.config.read_text().splitlines() if not line.startswith("authorization")]
    one.config.write_text("\n".join(lines) + ACCOUNT.format(limits=limits, password=NATS_PASSWORD))
    one.start()
    return one


def test_an_account_that_wants_a_size_for_every_stream_gets_them(tmp_path: Path) -> None:
    nats = _with_account(tmp_path / "nats", "max_file: 20G, max_mem: 1G, max_bytes_required: true")
    sidecar = Sidecar(tmp_path / "state", nats)
    try:
        sidecar.start()
        for name in ("agent_events", "agent_dlq", "agent_schedules", "agent_leases"):
            assert api(nats, f"STREAM.INFO.{name}")["config"]["max_bytes"] > 0, name
        assert len(api(nats, "STREAM.NAMES")["streams"]) == 4, "a new stream has to have a size, too"
        wait_until(lambda: sidecar.get("/api/health")[1]["identity"]["state"] == "held", what="the lease")
        assert sidecar.call("POST", "/api/cron", {"name": "j", "cron": "0 8 * * *"})[0] in (200, 201)
        assert sidecar.publish("agent.events.custom.a", 1)[0] == 200
        assert len(sidecar.events()) == 1
    finally:
        sidecar.close()
        nats.close()


@pytest.mark.parametrize("where", ["account", "server"])
def test_too_little_room_names_the_setting_and_the_size_that_fits(tmp_path: Path, where: str) -> None:
    nats = _with_account(tmp_path / "nats", "max_file: 2G, max_mem: 1G" if where == "account" else "max_mem: 1G")
    if where == "server":
        nats.kill()
        nats.config.write_text(nats.config.read_text().replace("max_file_store: 20GB", "max_file_store: 2GB"))
        nats.start()
    sidecar = Sidecar(tmp_path / "state", nats)
    try:
        sidecar.start(wait=False)
        report = wait_until(lambda: _stream_error(sidecar), what="the refusal in health")
        assert "stream.max_bytes" in report
        assert "4GiB" in report
        size = re.search(r"config set stream.max_bytes (\w+)", report)
        assert size is not None
        sidecar.kill()
        _configure(sidecar, max_bytes=size[1] if where == "account" else "256MiB")
        sidecar.start()
        assert sidecar.publish("agent.events.custom.a", 1)[0] == 200
        wait_until(lambda: sidecar.get("/api/health")[1]["identity"]["state"] == "held", what="the lease")
    finally:
        sidecar.close()
        nats.close()
