"""An event's line shows what matters of its kind, fits the terminal, and survives whatever a publisher wrote."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from openclaw_nats.cli.event_lines import event_lines, full_subject, summary
from openclaw_nats.cli.events import Numbered, print_event
from openclaw_nats.cli.log_lines import parsed
from openclaw_nats.cli.output import Styled
from openclaw_nats.cli.times import moment
from openclaw_nats.events import json_text
from openclaw_nats.terminal_text import plain

KINDS = ("llm.output", "tool.exec.failed", "message.sent", "cron.nightly", "timer.tea", "session.new", "model.call.x")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=12), one, max_size=4),
    max_leaves=10,
)
FIELDS = ("model", "usage", "cost", "durationMs", "success", "error", "tool", "params", "characters", "_cron", "name")


@pytest.mark.parametrize(
    ("subject", "data", "mark", "text"),
    [
        (
            "llm.output",
            {
                "model": "gpt",
                "usage": {"input": 12400, "output": 512},
                "cost": 0.0453,
                "durationMs": 1320,
                "success": True,
            },
            "✓",
            "gpt 12.4k → 512 tokens · $0.045 · 1.3 s",
        ),
        (
            "tool.exec.failed",
            {"tool": "exec", "success": False, "error": "exit code 4", "params": {"command": "df -h"}},
            "✗",
            'exec exit 4 "df -h"',
        ),
        (
            "cron.nightly",
            {"_cron": {"jobName": "nightly", "scheduledFor": "2026-11-26T08:00:00Z"}},
            "",
            f"job nightly, {moment('2026-11-26T08:00:00Z')[11:16]}",
        ),
        ("timer.tea", {"_timer": {"name": "tea", "skipped": True}, "n": 1}, "", "timer tea · skipped · n=1"),
        ("cron.odd", {"_cron": {"jobName": "odd", "scheduledFor": ["x"]}}, "", "job odd"),
        ("message.received", {"channel": "telegram", "from": "telegram:7", "characters": 5}, "", "telegram from 7"),
        ("agent.run_ended", {"success": False, "error": "no model", "durationMs": 51}, "✗", "no model · 51 ms"),
        ("custom.door", {"open": True, "n": 3}, "", "open=true n=3"),
        ("custom.door", "text", "", "text"),
    ],
)
def test_what_matters_of_each_kind(subject: str, data: Any, mark: str, text: str) -> None:
    found = summary(subject, data)
    assert found[0] == mark
    assert text in found[1]


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, JSON)
def test_any_data_can_be_shown_at_80_columns(subject: str, data: Any, other: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        event = {"subject": f"agent.events.{subject}", "data": data, "time": other, "sessionkey": other}
        for parts in event_lines(123456, event):
            text = "".join(one.text if isinstance(one, Styled) else one for one in parts)
            assert cell_len(plain(text)) <= 80


def test_a_subject_may_be_given_as_it_is_shown() -> None:
    assert full_subject("tool.>") == "agent.events.tool.>"
    assert full_subject("agent.run_ended") == "agent.events.agent.run_ended"
    assert full_subject("agent.events.tool.>") == "agent.events.tool.>"
    assert full_subject(">") == "agent.events.>"
    assert full_subject(None) is None


def test_lines_of_three_logs_have_their_times() -> None:
    sidecar = '{"event": "delivery.dead", "route": "r", "level": "warning", "timestamp": "2026-11-26T05:00:01.5Z"}'
    [one] = parsed("sidecar", [sidecar])
    assert (one.at.isoformat(), one.shown) == ("2026-11-26T05:00:01.500000+00:00", "warning delivery.dead route=r")
    [two] = parsed("nats-server", ["[12] 2026/11/26 05:00:02.123456 [INF] Server is ready"])
    assert (two.at.second, two.at.microsecond, two.shown) == (2, 123456, "[INF] Server is ready")
    first, second = parsed("up", ["2026-11-26T05:00:03Z sidecar ended", "  its last line"])
    assert (first.at, first.shown) == (second.at, "sidecar ended")
    assert [one.text for one in parsed("up", ["{", "[1] 9999/99/99 99:99:99 x", "{}"])] == [
        "{",
        "[1] 9999/99/99 99:99:99 x",
        "{}",
    ]


def test_a_number_that_no_reader_holds_is_shown_as_it_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    one = b'{"id":"e1","subject":"agent.events.custom.a","time":"2026-11-26T05:00:00Z","data":{"k":1e400,"n":1.5}}'
    print_event(Numbered(7, msgspec.Raw(one)), as_json=False)
    shown = capsys.readouterr().out
    assert "1e400" in shown
    assert "1.5" in shown
    assert json_text.shown(one)["id"] == "e1"


def test_a_line_and_its_json_say_who_said_it_not_what_an_event_from_outside_claims(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = b'{"id":"e1","subject":"agent.events.custom.a","sessionkey":"agent:main:main","openclaworigin":"operator"}'
    claims = [("outside", True, "outside"), ("key:door", True, "key:door"), ("gateway", True, "agent:main:main")]
    for origin, tainted, shown in claims:
        numbered = Numbered(7, msgspec.Raw(one), origin, tainted)
        print_event(numbered, as_json=False)
        assert capsys.readouterr().out.rstrip().endswith(shown)
        print_event(numbered, as_json=True)
        printed = msgspec.json.decode(capsys.readouterr().out)
        assert (printed["openclaworigin"], printed["openclawtainted"]) == (origin, tainted)
    bare = b'{"id":"e1","subject":"agent.events.custom.a"}'
    print_event(Numbered(7, msgspec.Raw(bare), "operator", False), as_json=False)
    assert capsys.readouterr().out.rstrip().endswith("operator")
