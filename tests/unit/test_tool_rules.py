"""A route's `tools`: what is a rule and what is not. The plugin judges by them (tests/plugin/guard.test.js)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import InvalidRoute
from openclaw_nats.events.origin import GATEWAY, OPERATOR, OUTSIDE, Origin
from openclaw_nats.guard.tool_rules import check_tools
from openclaw_nats.inbound.parcels import is_tainted, parcel_of, target_document, with_target
from openclaw_nats.inbound.route import compile_route, parse
from openclaw_nats.storage.rows import Dispatch

CASES = json.loads((Path(__file__).parent.parent / "support" / "guard-cases.json").read_text())
ROUTE = {"name": "r", "pattern": "agent.events.custom.>", "target": {"kind": "session", "sessionKey": "agent:main:x"}}


@pytest.mark.parametrize("rule", CASES["wrong"])
def test_what_is_no_rule_is_refused_with_the_field(rule: str) -> None:
    with pytest.raises(InvalidRoute) as caught:
        compile_route(parse({**ROUTE, "tools": [rule]}))
    assert caught.value.field == "tools"
    assert caught.value.hint


def test_rules_and_presets_are_taken() -> None:
    for preset in ("read", "all", "none"):
        check_tools(preset)
    check_tools(CASES["good"])


@pytest.mark.parametrize("tools", ["reed", "exec", "", []])
def test_a_text_is_a_preset_and_a_list_holds_something(tools: Any) -> None:
    with pytest.raises(InvalidRoute):
        check_tools(tools)


def test_a_route_from_before_the_guard_has_none() -> None:
    assert compile_route(parse(ROUTE)).guard == "off"


@pytest.mark.parametrize(
    ("origins", "tainted"),
    [
        ([OPERATOR], False),
        ([Origin("agent:main", tainted=False)], False),
        ([OPERATOR, Origin("agent:main", tainted=False)], False),
        ([Origin("agent:main", tainted=True)], True),
        ([Origin("agent:other", tainted=False)], True),
        ([Origin("operator", tainted=True)], True),
        ([OPERATOR, OUTSIDE], True),
        ([GATEWAY], True),
        ([Origin("source:github")], True),
    ],
)
def test_only_the_operator_and_the_agents_own_untainted_words_do_not_taint(
    origins: list[Origin], tainted: bool
) -> None:
    assert is_tainted(compile_route(parse(ROUTE)), origins) is tainted


def _dispatch(target: str) -> Dispatch:
    return Dispatch("d1", 1, "r", "", target, "text", 1, 5, 0, 1, 0.0)


def test_what_a_turn_may_do_is_kept_with_its_dispatch() -> None:
    strict = compile_route(parse({**ROUTE, "guard": "block", "tools": ["read", "exec(df *)"]}))
    kept = target_document(strict, (), "", guarded=True)
    wide = compile_route(parse({**ROUTE, "guard": "off", "tools": "all"}))
    policy = parcel_of(_dispatch(with_target(kept, wide))).policy
    assert policy is not None
    assert (policy.tools, policy.guard, policy.tainted) == (["read", "exec(df *)"], "block", True)
    assert (policy.route, policy.dispatch) == ("r", "d1")
