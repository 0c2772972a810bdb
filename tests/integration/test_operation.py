"""Filter, redaction switch, the plugin's report and an existing NATS, as the operator sets them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import NATS_PASSWORD, NatsServer, Sidecar, event, wait_until


@pytest.fixture
def filtered(tmp_path: Path, nats: NatsServer) -> Iterator[Sidecar]:
    """A sidecar with an allow list, a block list and no redaction."""
    lists = 'allow = ["agent.events.custom.>"]\nblock = ["agent.events.custom.secret.*"]\n'
    one = Sidecar(tmp_path / "state", nats, f"[filter]\n{lists}[redaction]\nenabled = false\n")
    one.start()
    yield one
    one.close()


def test_the_filter_holds_at_ingest_and_the_plugin_is_told(filtered: Sidecar) -> None:
    status, problem = filtered.publish("agent.events.custom.secret.a", 1)
    assert (status, problem["type"]) == (422, "urn:openclaw-nats:problem:filtered")
    assert filtered.publish("agent.events.tool.exec.completed", 1)[0] == 422
    outcome = filtered.post_events(
        [event(1), event(2, "agent.events.custom.secret.b"), event(3, "agent.events.llm.output")]
    )[1]
    assert (outcome["accepted"], outcome["filtered"], outcome["rejected"]) == (1, 2, [])
    assert [one["id"] for one in filtered.events()] == ["id-1"]
    assert filtered.metric("openclaw_nats_events_filtered_total") == 2
    told = json.loads((filtered.home / "plugin.json").read_text())["filter"]
    assert told == {"allow": ["agent.events.custom.>"], "block": ["agent.events.custom.secret.*"]}


def test_redaction_can_be_switched_off(filtered: Sidecar) -> None:
    filtered.publish("agent.events.custom.a", {"password": "hunter2"})
    assert filtered.events()[-1]["data"] == {"password": "hunter2"}


def test_the_plugins_report_is_in_health_and_metrics(sidecar: Sidecar) -> None:
    report = {
        "pluginVersion": "0.1.0",
        "gatewayVersion": "2026.9.6",
        "conversationAccess": False,
        "problems": ["something is missing"],
        "guard": {"turnsBy": "session", "asks": False},
        "spool": {"events": 7, "bytes": 900, "oldestSeconds": 12.5, "dropped": 3, "rejected": 1},
    }
    headers = {"Content-Type": "application/json"}
    assert sidecar.request("POST", "/api/plugin/report", json.dumps(report).encode(), headers)[0] == 204
    plugin = sidecar.get("/api/health")[1]["plugin"]
    assert plugin["reachable"] is True
    assert plugin["problems"] == ["something is missing"]
    assert plugin["spool"]["events"] == 7
    assert plugin["guard"] == {"turnsBy": "session", "asks": False}
    assert sidecar.metric("openclaw_nats_spool_events") == 7
    assert sidecar.metric("openclaw_nats_spool_lag_seconds") == 12.5
    assert sidecar.metric("openclaw_nats_spool_dropped_events") == 3
    assert sidecar.request("POST", "/api/plugin/report", b"{}", headers)[0] == 422


def test_an_existing_nats_with_the_password_in_its_address_and_it_is_never_shown(
    tmp_path: Path, nats: NatsServer
) -> None:
    one = Sidecar(tmp_path / "state", nats)
    config = one.home / "config.toml"
    address = nats.url.replace("nats://", f"nats://openclaw-nats:{NATS_PASSWORD}@")
    lines = [line for line in config.read_text().splitlines() if not line.startswith(("user", "password_file"))]
    config.write_text("\n".join(lines).replace(nats.url, address) + "\n")
    one.start()
    try:
        assert one.publish("agent.events.custom.a", 1)[0] == 200
        nats.kill()
        status, problem = one.publish("agent.events.custom.a", 1)
        shown = json.dumps([problem, one.get("/api/health")[1]]) + (one.home / "logs" / "sidecar.log").read_text()
        assert status == 503
        assert NATS_PASSWORD not in shown
    finally:
        one.close()


def test_a_health_error_goes_away_when_it_is_over(nats: NatsServer, sidecar: Sidecar) -> None:
    nats.kill()
    wait_until(lambda: sidecar.get("/api/health")[1]["nats"]["lastError"], what="an error")
    nats.start()
    wait_until(lambda: sidecar.get("/api/health")[1]["nats"]["lastError"] == "", what="no error")
