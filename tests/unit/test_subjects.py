"""Subjects and patterns: the rules, the shared cases, and nothing that passes is refused by a path beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidSubject
from openclaw_nats.events.subjects import GATEWAY_OWN, SCHEDULED, check_pattern, check_subject, matches, token_from_name

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = json.loads((ROOT / "tests" / "support" / "subject-cases.json").read_text())


@pytest.mark.parametrize(("pattern", "subject", "expected"), CASES)
def test_shared_cases(pattern: str, subject: str, expected: bool) -> None:
    check_pattern(pattern)
    check_subject(subject)
    assert matches(pattern, subject) is expected


@pytest.mark.parametrize(
    "subject",
    [
        *("", "agent.events", "agent.events.", "agent.events..a", "agent.events.a.", "agent.events.a b"),
        *("agent.events.a\t", "agent.events.a\n", "agent.events.\x7f", "agent.events.a*", "agent.events.>"),
        *("agent.events.a.*", "Agent.events.a", "agent.events.\u00a0", "agent.events.\u2028", "agent.events.\ud800"),
        *("x" * 300, None, 7, ["agent.events.a"]),
    ],
)
def test_bad_subjects_are_refused(subject: object) -> None:
    with pytest.raises(InvalidSubject):
        check_subject(subject)


@pytest.mark.parametrize(
    "pattern", ["agent.events.>.a", "agent.events.a*", "agent.events.a>", "agent.>", "agent.events."]
)
def test_bad_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidSubject):
        check_pattern(pattern)


@given(st.text(max_size=300))
def test_no_text_crashes_the_check_and_what_passes_has_the_shape(text: str) -> None:
    subject = f"agent.events.{text}"
    try:
        check_subject(subject)
    except InvalidSubject:
        return
    tokens = subject.split(".")
    assert all(tokens)
    assert len(tokens) <= 16
    assert len(subject.encode()) <= 255
    assert not any(character.isspace() or ord(character) < 32 for character in subject)
    assert "*" not in subject
    assert ">" not in subject


@given(st.text(max_size=200))
def test_any_name_becomes_one_valid_token(name: str) -> None:
    token = token_from_name(name)
    assert check_subject(f"agent.events.tool.{token}.failed").count(".") == 4


def test_the_dashboard_publishes_nothing_again_that_is_the_gateways_or_a_jobs() -> None:
    source = (ROOT / "dashboard" / "src" / "lib" / "history.ts").read_text()
    listed = re.search(r'GATEWAY_KINDS = new Set\(\s*"([a-z ]+)"', source)
    assert listed
    assert set(listed[1].split()) == {one.split(".")[2] for one in (*GATEWAY_OWN, *SCHEDULED)}
