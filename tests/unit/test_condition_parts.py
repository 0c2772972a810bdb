"""Which part of a condition said no: the smallest one, with what the event holds there, and never a wrong one."""

from __future__ import annotations

import pytest

from openclaw_nats.events.condition_parts import part_that_said_no
from openclaw_nats.events.conditions import context_of, filter_to_cel

DATA = {"state": "closed", "n": 3, "tags": ["a", "b"], "deep": {"x": True}, "text": "a && b", "long": "y" * 500}

THREE = "is false: data.n is 3"


def said(source: str) -> str:
    return part_that_said_no(source, context_of({"id": "e", "subject": "agent.events.custom.x", "data": DATA}))


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("data.state == 'open'", "data.state == 'open' is false: data.state is \"closed\""),
        ("data.n > 1 && data.state == 'open'", "data.state == 'open' is false: data.state is \"closed\""),
        (
            "data.n > 5 || (data.n > 1 && data.n < 2)",
            "data.n > 5 is false: data.n is 3; and data.n < 2 is false: data.n is 3",
        ),
        ("((data.n == 4))", "data.n == 4 is false: data.n is 3"),
        ("has(data.colour)", "has(data.colour) is false: data.colour is missing"),
        ("data.text.contains('||')", "data.text.contains('||') is false: data.text is \"a && b\""),
        ("data.text == 'a || b' && data.n == 3", "data.text == 'a || b' is false: data.text is \"a && b\""),
        ("data.tags.exists(t, t == 'c')", 'data.tags.exists(t, t == \'c\') is false: data.tags is ["a","b"]'),
        ("!data.deep.x", "!data.deep.x is false: data.deep.x is true"),
        ("data.n > 1 ? data.n > 7 : true", "data.n > 1 ? data.n > 7 : true is false: data.n is 3"),
        ("origin == 'operator'", "origin == 'operator' is false: origin is \"outside\""),
        ("'data.n' == subject", "'data.n' == subject is false: subject is \"agent.events.custom.x\""),
        ("data.nothing.x == 1 && data.n == 4", "data.n == 4 is false: data.n is 3"),
        ("false", "false is false"),
    ],
)
def test_the_smallest_part_that_is_false(source: str, answer: str) -> None:
    assert said(source) == answer


@pytest.mark.parametrize("source", ["data.n == 3", "data.nothing.x == 1", "data.n == 3 || data.n == 4"])
def test_nothing_said_no_to_what_holds_or_fails(source: str) -> None:
    assert said(source) == ""


def test_a_filter_of_upstream_names_the_condition_in_it() -> None:
    rules = {"conditions": [{"field": "n", "op": "gt", "value": 1}, {"field": "state", "op": "eq", "value": "open"}]}
    assert said(filter_to_cel(rules)).startswith('data["state"] == "open" is false: data["state"] is "closed"')


def test_a_long_value_is_cut_and_many_parts_end() -> None:
    assert len(said("data.long == 'x'")) < 150
    assert said(" && ".join(["data.n == 3"] * 100 + ["data.n == 4"])) != ""
