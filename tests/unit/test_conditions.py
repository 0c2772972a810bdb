"""Conditions: CEL with the position of a mistake, and upstream filters that mean the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidRoute, Poison
from openclaw_nats.events.conditions import Condition, Expression, context_of, filter_to_cel


def holds(source: str, data: Any = None, **attributes: Any) -> bool:
    return Condition(source).holds(context_of({"subject": "agent.events.custom.a", "data": data, **attributes}))


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ("data.state == 'open'", {"state": "open"}, True),
        ("data.level > 2.5", {"level": 3}, True),
        ("has(data.door) && data.door.open", {"door": {"open": True}}, True),
        ("has(data.door) && data.door.open", {}, False),
        ("subject.startsWith('agent.events.custom')", None, True),
        ("data.tags.exists(tag, tag == 'urgent')", {"tags": ["a", "urgent"]}, True),
        ("sessionkey == ''", None, True),
        ("priority >= 5 && hops == 0", None, True),
        ("event.subject == subject", None, True),
        ("data == null", None, True),
    ],
)
def test_expressions_see_the_event(source: str, data: Any, expected: bool) -> None:
    assert holds(source, data) is expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("data.a >", "line 1, column 9"),
        ("data.a\n  &&& true", "line 2, column 5"),
        ("door == 1", "line 1, column 1: there is no variable 'door'"),
        ("data.a == 1 && now() > 2", "line 1, column 16: there is no function 'now'"),
        ("data.a.all(x, data.b.all(y, x == y))", "lies inside another"),
        ("", "must be a CEL expression"),
        ("a" * 3000, "the limit is 2000"),
        ("(" * 300 + "1" + ")" * 300, "nested too deeply"),
        (7, "must be a CEL expression"),
    ],
)
def test_a_mistake_is_refused_with_its_position(source: object, message: str) -> None:
    with pytest.raises(InvalidRoute, match="when") as raised:
        Condition(source)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("source", "data"),
    [
        ("data.missing > 1", {}),
        ("data.a > 'x'", {"a": 1}),
        ("data.a", {"a": 1}),
        ("1 / data.a == 1", {"a": 0}),
        ("data[9] == 1", []),
    ],
)
def test_a_condition_that_fails_on_an_event_says_why(source: str, data: Any) -> None:
    with pytest.raises(Poison):
        holds(source, data)


def test_a_key_may_be_any_value() -> None:
    assert Expression("data.door", "flow.key").evaluate(context_of({"data": {"door": "front"}})) == "front"


# Filters ------------------------------------------------------------------------------------------------------------

MISSING = object()


def meaning(condition: dict[str, Any], data: Any) -> bool:
    """What an upstream condition means, in Python."""
    value: Any = data
    for part in condition["field"].split("."):
        if part.isdigit():
            value = value[int(part)] if isinstance(value, list) and int(part) < len(value) else MISSING
        else:
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        if value is MISSING:
            break
    op, wanted = condition["op"], condition.get("value")
    there = value is not MISSING
    equal = there and same(value, wanted)
    if op == "exists":
        return there if wanted is not False else not there
    if op in ("eq", "neq"):
        return equal if op == "eq" else not equal
    if op in ("in", "nin"):
        inside = there and any(same(value, one) for one in wanted)
        return inside if op == "in" else not inside
    if op == "contains":
        if isinstance(value, list):
            return any(same(one, wanted) for one in value)
        return isinstance(value, str) and isinstance(wanted, str) and wanted in value
    if isinstance(value, bool) or not there or isinstance(value, str) != isinstance(wanted, str):
        return False
    if not isinstance(value, (int, float, str)):
        return False
    return bool({"gt": value > wanted, "gte": value >= wanted, "lt": value < wanted, "lte": value <= wanted}[op])


def same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([0.5, 2.0, -1.5])
    | st.sampled_from(["a", "ab", "é\n\"'", "😀", ""])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(["a", "b", "a.b", "a.0", "a.1.b", "b.a.c", "c"])
conditions = st.one_of(
    st.builds(
        lambda f, op, v: {"field": f, "op": op, "value": v}, fields, st.sampled_from(["eq", "neq", "contains"]), leaves
    ),
    st.builds(
        lambda f, op, v: {"field": f, "op": op, "value": v},
        fields,
        st.sampled_from(["in", "nin"]),
        st.lists(leaves, max_size=3),
    ),
    st.builds(
        lambda f, op, v: {"field": f, "op": op, "value": v},
        fields,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.integers(-5, 5) | st.sampled_from([0.5, "a", "b"]),
    ),
    st.builds(lambda f, v: {"field": f, "op": "exists", "value": v}, fields, st.booleans()),
)


@given(st.lists(conditions, min_size=1, max_size=3), st.sampled_from(["and", "or"]), values)
@settings(max_examples=800, deadline=None)
def test_a_filter_means_what_upstream_means_by_it(rules: list[dict[str, Any]], logic: str, data: Any) -> None:
    source = filter_to_cel({"logic": logic, "conditions": rules})
    expected = (all if logic == "and" else any)(meaning(rule, data) for rule in rules)
    assert Condition(source, "filter").holds(context_of({"data": data})) is expected, source


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({"conditions": [{"field": "a", "op": "is", "value": 1}]}, "filter.conditions[0].op"),
        (
            {"conditions": [{"field": "a", "op": "eq", "value": 1}, {"field": "", "op": "eq", "value": 1}]},
            "conditions[1].field",
        ),
        ({"conditions": [{"field": "a", "op": "gt", "value": True}]}, "filter.conditions[0].value"),
        ({"conditions": [{"field": "a", "op": "in", "value": 3}]}, "filter.conditions[0].value"),
        ({"conditions": [{"field": "a", "op": "eq"}]}, "filter.conditions[0].value is missing"),
        ({"conditions": []}, "filter.conditions"),
        ({"logic": "xor", "conditions": [{"field": "a", "op": "exists"}]}, "filter.logic"),
        ([], "filter must be"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_place(rules: Any, place: str) -> None:
    with pytest.raises(InvalidRoute) as raised:
        filter_to_cel(rules)
    assert place in str(raised.value)


def test_a_condition_sees_who_said_an_event_whatever_the_event_says() -> None:
    document = {"origin": "operator", "agentid": "main", "sessionkey": "agent:main:main", "data": None}
    for source, origin, believed, expected in (
        ("origin == 'outside'", "outside", False, True),
        ("origin == 'operator'", "outside", False, False),
        ("origin == 'agent:main'", "agent:main", True, True),
        ("agentid == 'main' || sessionkey != ''", "outside", False, False),
        ("agentid == 'main' && sessionkey == 'agent:main:main'", "gateway", True, True),
    ):
        assert Condition(source).holds(context_of(document, origin, believed=believed)) is expected, source


@pytest.mark.parametrize("operator", ["eq", "gt"])
def test_a_number_that_nothing_can_hold_is_refused(operator: str) -> None:
    with pytest.raises(InvalidRoute, match="too large"):
        filter_to_cel({"conditions": [{"field": "a", "op": operator, "value": 10**400}]})
