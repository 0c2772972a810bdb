"""Routes: what is accepted, what is refused and how, the index, the reduced filter subjects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.subjects import covers, matches
from openclaw_nats.inbound.route import Route, compile_route, parse
from openclaw_nats.inbound.routing import MAX_FILTERS, RouteIndex, reduce_patterns
from openclaw_nats.inbound.target import parse_target

BASE: dict[str, Any] = {"name": "r", "pattern": "agent.events.custom.>", "target": "main"}


def route(**fields: Any) -> Route:
    return compile_route(parse({**BASE, **fields}), route_id=1)


@pytest.mark.parametrize(
    ("target", "lane", "session"),
    [
        ("main", "session agent:main:main", "agent:main:main"),
        ("agent:ops:main", "session agent:ops:main", "agent:ops:main"),
        ("discord:Channel:5", "session agent:main:discord:channel:5", "agent:main:discord:channel:5"),
        ({"kind": "session", "sessionKey": "main", "agentId": "ops"}, "session agent:ops:main", "agent:ops:main"),
        ({"kind": "agent", "agentId": "ops"}, "agent ops", ""),
        ({"kind": "wake"}, "wake main", "agent:main:main"),
        ({"kind": "webhook", "url": "https://example.org/x"}, "webhook https://example.org/x", ""),
        ({"kind": "subject", "subject": "agent.events.custom.b"}, "subject agent.events.custom.b", ""),
    ],
)
def test_targets_in_short_and_long(target: Any, lane: str, session: str) -> None:
    found = parse_target(target)
    assert (found.lane, found.session) == (lane, session)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name must be"),
        ({"name": "a/b"}, "name must be"),
        ({"pattern": "agent.events.a.>.b"}, "> before its end"),
        ({"pattern": "other.>"}, "is not under agent.events."),
        ({"target": {"kind": "carrier-pigeon"}}, "target.kind must be one of session, agent, wake"),
        ({"target": {"kind": "session"}}, "target.sessionKey is missing"),
        ({"target": {"kind": "webhook", "url": "ftp://x"}}, "target.url"),
        ({"target": {"kind": "webhook", "url": "https://x", "secret": "short"}}, "target.secret"),
        ({"target": {"kind": "session", "sessionKey": "agent:ops:x", "agentId": "main"}}, "belongs to agent 'ops'"),
        ({"target": {"kind": "subject", "subject": "$JS.API.STREAM.DELETE.agent_events"}}, "can't be published on"),
        ({"target": {"kind": "subject", "subject": "agent.events.a.*"}}, "wildcard"),
        ({"target": {"kind": "agent", "agentId": "ops", "extra": "x"}}, "target.extra"),
        ({"when": "data.a >"}, "when: line 1, column 9"),
        ({"template": "{% if x %}"}, "template: line 1"),
        ({"template": "a\n{{ x|evil }}"}, "template: line 2: the filter 'evil'"),
        ({"template": "{% include 'x' %}"}, "other templates"),
        ({"priority": 11}, "priority"),
        ({"confirm": "maybe"}, "confirm"),
        ({"flow": {"debounce": "soon"}}, "flow.debounce"),
        ({"flow": {"maxWait": "5m"}}, "flow.debounce is missing"),
        ({"flow": {"debounce": "5m", "maxWait": "1m"}}, "shorter"),
        ({"flow": {"batch": {"size": 0}}}, "flow.batch.size"),
        ({"flow": {"rate": {"count": 5}}}, "flow.rate.per is missing"),
        ({"flow": {"concurrency": True}}, "flow.concurrency"),
        ({"flow": {"key": "nope"}}, "flow.key: line 1, column 1"),
        ({"flow": {"quietHours": {"from": "25:00", "to": "07:00"}}}, "flow.quietHours.from"),
        ({"flow": {"quietHours": {"from": "22:00", "to": "07:00", "timezone": "Mars/Base"}}}, "IANA"),
        ({"flow": {"turbo": 1}}, "flow.turbo is not known"),
        ({"retry": {"backoff": "5s"}}, "retry.backoff"),
        ({"retry": {"attempts": 0}}, "retry.attempts"),
        ({"expiresAfter": "never"}, "expiresAfter"),
        ({"colour": "red"}, "colour is not known"),
        ({"enabled": "yes"}, "enabled"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        route(**fields)
    assert message in str(raised.value)


def test_a_template_that_would_be_costly_to_compile_is_only_parsed() -> None:
    route(template="{{ 'x' * 10000000000 }}{{ 9 ** 9999999 }}")


def test_retries_by_list_and_by_number() -> None:
    assert route().backoff == (5, 30, 120, 600, 3600, 10800)
    assert route(retry={"attempts": 1}).backoff == ()
    assert route(retry={"backoff": ["1s", "2s"], "attempts": 5}).backoff == (1, 2, 2, 2)


tokens = st.sampled_from(["a", "b", "c", "*"])
patterns = st.builds(
    lambda parts, rest: ".".join(["agent.events", *parts, *([">"] if rest else [])]),
    st.lists(tokens, min_size=1, max_size=4),
    st.booleans(),
)
subjects = st.builds(
    lambda parts: ".".join(["agent.events", *parts]),
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=5),
)


@given(st.lists(patterns, max_size=30), st.lists(subjects, min_size=1, max_size=10))
@settings(max_examples=300, deadline=None)
def test_the_index_finds_what_the_matcher_finds(found: list[str], asked: list[str]) -> None:
    routes = [
        compile_route(parse({**BASE, "name": f"r{number}", "pattern": pattern}), number)
        for number, pattern in enumerate(found)
    ]
    index = RouteIndex(routes)
    for subject in [*asked, *asked]:
        expected = [one.id for one in routes if matches(one.pattern, subject)]
        assert [one.id for one in index.routes_for(subject)] == expected


@given(st.lists(patterns, min_size=1, max_size=40), st.lists(subjects, min_size=1, max_size=10))
@settings(max_examples=300, deadline=None)
def test_reduced_patterns_cover_the_same_and_do_not_overlap(found: list[str], asked: list[str]) -> None:
    reduced = reduce_patterns(found)
    for subject in asked:
        if any(matches(pattern, subject) for pattern in found):
            assert sum(matches(pattern, subject) for pattern in reduced) == 1
    assert all(any(covers(wide, pattern) for wide in reduced) for pattern in found)


def test_very_many_patterns_are_widened() -> None:
    reduced = reduce_patterns(f"agent.events.custom.house{n}.door{n % 7}.opened" for n in range(5000))
    assert len(reduced) <= MAX_FILTERS
    assert reduced == ["agent.events.custom.>"]


def test_without_routes_nothing_is_asked_for() -> None:
    assert reduce_patterns([]) == []
