"""Malformed input of every kind: schemathesis over the OpenAPI document, hypothesis on subjects and batches."""

from __future__ import annotations

import json
import warnings
from typing import Any

import psutil
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openclaw_nats.api.ingest_endpoints import NDJSON
from openclaw_nats.api.openapi import document
from tests.support.processes import API_KEY, Sidecar, event


@schemathesis.serializer(*NDJSON)
def ndjson(context: Any, value: Any) -> bytes:
    """NDJSON as schemathesis makes it: any text, or a JSON line for each item."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return b"\n".join(json.dumps(item).encode() for item in (value if isinstance(value, list) else [value]))


schema = schemathesis.openapi.from_dict(document())
QUIET = [
    HealthCheck.function_scoped_fixture,
    HealthCheck.too_slow,
    HealthCheck.filter_too_much,
    HealthCheck.data_too_large,
]
ALLOWED = {200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 431}


# The answers of the channel and of the live view never end, as documented; a probe needs a plugin. Tested elsewhere.
@schema.exclude(path=["/api/plugin/channel", "/api/live", "/api/plugin/probe"]).parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
def test_generated_requests_get_a_documented_answer(case: Any, bus: Sidecar) -> None:
    if (case.query or {}).get("follow") == "true":
        case.query["follow"] = "false"  # a followed answer never ends, as documented
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        response = case.call(base_url=bus.url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=20)
    assert response.status_code in ALLOWED, (response.status_code, response.text[:300])
    if response.status_code >= 400:
        problem = response.json()
        assert problem["status"] == response.status_code
        assert problem["type"].startswith("urn:openclaw-nats:problem:")


@given(st.text(max_size=300), st.recursive(st.none() | st.floats() | st.text(max_size=30), st.lists, max_leaves=4))
@settings(max_examples=150, deadline=None, suppress_health_check=QUIET)
def test_any_subject_and_payload(bus: Sidecar, text: str, payload: Any) -> None:
    body = json.dumps({"subject": f"agent.events.{text}", "payload": payload}).encode()
    status, _, answer = bus.request("POST", "/api/publish", body, {"Content-Type": "application/json"})
    assert status in (200, 400, 422), answer
    if status == 200:
        assert json.loads(answer)["subject"] == f"agent.events.{text}"


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60).filter(lambda line: line.strip() and b"\n" not in line),
            st.integers(0, 40).map(lambda n: json.dumps(event(f"fuzz-{n}")).encode()),
            st.dictionaries(st.sampled_from(list(event(1))), st.text(max_size=10)).map(
                lambda d: json.dumps(d).encode()
            ),
        ),
        max_size=30,
    )
)
@settings(max_examples=100, deadline=None, suppress_health_check=QUIET)
def test_any_batch_accounts_for_every_line(bus: Sidecar, lines: list[bytes]) -> None:
    status, outcome = bus.post_events(list(lines))
    assert status == 200
    assert outcome["accepted"] + outcome["duplicates"] + len(outcome["rejected"]) + outcome["filtered"] == len(lines)


def test_a_channel_without_a_proper_instance_is_refused(bus: Sidecar) -> None:
    for query in (
        "",
        "?instance=short",
        "?instance=" + "x" * 65,
        "?instance=0123456789&other=1",
        "?instance=%00%01%02%03%04%05%06%07",
    ):
        status, _, answer = bus.request("GET", f"/api/plugin/channel{query}")
        assert status == 400, answer


def test_afterwards_the_sidecar_is_well_and_small(bus: Sidecar) -> None:
    assert bus.process is not None
    assert bus.process.poll() is None
    assert psutil.Process(bus.process.pid).memory_info().rss < 150 << 20
    assert bus.publish("agent.events.custom.well", 1)[0] == 200
    ids = [one["id"] for one in bus.events() if one["id"].startswith("id-fuzz-")]
    assert len(ids) == len(set(ids))
    assert "api.bug" not in (bus.home / "logs" / "sidecar.log").read_text()
