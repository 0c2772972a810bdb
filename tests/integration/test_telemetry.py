"""Runs as spans at a real OTLP endpoint (a server that decodes what OpenTelemetry's own exporter sends)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan

from tests.support.inbound import ROOMY, running_bus
from tests.support.otlp import Collector, attributes
from tests.support.processes import NatsServer, Sidecar, event, wait_until

RUN = {"runid": "run-1", "agentid": "main", "sessionkey": "agent:main:main", "gatewayid": "home"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


@pytest.fixture
def bus(tmp_path: Path, nats: NatsServer, collector: Collector) -> Iterator[Sidecar]:
    one = Sidecar(tmp_path / "state", nats, f'[gateway]\nid = "home"\n[otel]\nendpoint = "{collector.url}"\n')
    one.start()
    yield one
    one.close()


def a_run(**more: Any) -> list[dict[str, Any]]:
    """A run's events, as the plugin tells them."""
    at = {"time": "2026-11-24T10:00:05.000Z", **RUN, **more}
    run = at["runid"]
    call = {"model": "m-1", "provider": "p", "durationMs": 2000, "success": True}
    tool = {"tool": "exec", "toolCallId": "c-1", "durationMs": 500, "success": False, "error": "exit code 3"}
    tokens = {"model": "m-1", "usage": {"input": 120, "output": 30, "cacheRead": 7}}
    ended = {"success": True, "durationMs": 4000, "trigger": "user"}
    return [
        event(f"{run}-call", "agent.events.model.call.completed", **{**at, "data": call}),
        event(f"{run}-tool", "agent.events.tool.exec.failed", **{**at, "data": tool}),
        event(f"{run}-tokens", "agent.events.llm.output", **{**at, "data": tokens}),
        event(f"{run}-end", "agent.events.agent.run_ended", **{**at, "data": ended}),
    ]


def test_a_run_is_a_span_with_its_calls_and_tools_below_it(bus: Sidecar, collector: Collector) -> None:
    bus.post_events(a_run(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01", causationid="delivery-1"))
    wait_until(lambda: len(collector.spans) == 3, 15, "the spans")
    run = collector.named("invoke_agent main")
    call, tool = collector.named("chat m-1"), collector.named("execute_tool exec")
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert run.parent_span_id == b""
    assert call.parent_span_id == tool.parent_span_id == run.span_id
    assert (run.end_time_unix_nano - run.start_time_unix_nano) / 1e6 == 4000
    assert (call.end_time_unix_nano - call.start_time_unix_nano) / 1e6 == 2000
    assert (run.kind, call.kind) == (WireSpan.SPAN_KIND_INTERNAL, WireSpan.SPAN_KIND_CLIENT)
    told = attributes(run)
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["gen_ai.agent.id"] == "main"
    assert told["gen_ai.conversation.id"] == "agent:main:main"
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (120, 30)
    assert told["openclaw_nats.delivery"] == "delivery-1"
    assert attributes(call)["gen_ai.request.model"] == "m-1"
    assert attributes(tool)["gen_ai.tool.call.id"] == "c-1"
    assert attributes(tool)["error.type"] == "_OTHER"
    assert (tool.status.code, tool.status.message, run.status.code) == (2, "exit code 3", 0)
    assert collector.resources[0]["service.name"] == "openclaw"
    assert collector.resources[0]["service.instance.id"] == "home"


def test_without_a_trace_a_run_is_one_of_its_own_and_others_events_are_none(bus: Sidecar, collector: Collector) -> None:
    others = [{**one, "id": f"other-{one['id']}", "gatewayid": "elsewhere"} for one in a_run(runid="run-2")]
    strange = [
        event("strange-1", "agent.events.tool.x.completed", **{**RUN, "time": "2026-11-24T10:00:00Z", "data": [1]}),
        event("strange-2", "agent.events.agent.run_ended", **{**RUN, "runid": "run-9", "data": {"durationMs": -5}}),
    ]
    bus.post_events(others + strange + a_run(runid="run-3"))
    wait_until(lambda: len(collector.spans) == 4, 15, "the spans")
    mine = [span for span in collector.spans if attributes(span).get("openclaw.run.id") != "run-9"]
    assert len({span.trace_id for span in mine}) == 1
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in collector.spans)


def test_an_endpoint_that_is_away_costs_time_only_and_a_restart_goes_on_where_it_was(
    bus: Sidecar, collector: Collector
) -> None:
    bus.post_events(a_run(runid="before"))
    wait_until(lambda: len(collector.spans) == 3, 15, "the first spans")
    collector.refuse = True
    bus.post_events(a_run(runid="during"))
    wait_until(lambda: collector.refused > 0, 30, "a refusal")
    assert bus.publish("agent.events.custom.x", 1)[0] == 200  # nothing else waits for it
    bus.kill()
    bus.start()
    collector.refuse = False
    wait_until(lambda: len({span.span_id for span in collector.spans}) == 6, 60, "the others")
    names = sorted({(span.trace_id, span.name) for span in collector.spans})
    assert len(names) == 6


def test_without_the_setting_nothing_is_sent(sidecar: Sidecar, collector: Collector) -> None:
    sidecar.post_events(a_run())
    assert sidecar.get("/api/health")[0] == 200
    assert collector.spans == []


def test_a_woken_run_is_a_child_of_its_publishers_span(tmp_path: Path, collector: Collector) -> None:
    other = "0af7651916cd43dd8448eb211c80319c"
    with running_bus(tmp_path, ROOMY + f'[otel]\nendpoint = "{collector.url}"\n') as bus:
        bus.route("a", "agent.events.custom.a.>", "main", flow={"debounce": "1s"})
        for trace in (TRACE, other):
            event_ = event(f"of-{trace}", "agent.events.custom.a.x", traceparent=f"00-{trace}-00f067aa0ba902b7-01")
            bus.sidecar.post_events([event_])
        assert bus.settled(2)["delivered"] == 2
        dispatch = bus.receipts()[0]["id"]
        own = ("a" * 32, "b" * 16)
        bus.publish("b.x")
        gateway = bus.sidecar.events()[-1]["gatewayid"]
        traces = {"traceparent": f"00-{TRACE}-0123456789abcdef-01", "tracestate": f"x=1, openclaw={own[0]}-{own[1]}"}
        bus.sidecar.post_events(a_run(gatewayid=gateway, causationid=dispatch, **traces))
        wait_until(lambda: len(collector.spans) == 3, 15, "the spans")
    run = collector.named("invoke_agent main")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == (TRACE, "00f067aa0ba902b7")
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in run.links] == [(other, "00f067aa0ba902b7"), own]
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.named("chat m-1").parent_span_id == run.span_id
