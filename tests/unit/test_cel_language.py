"""The language of conditions, line by line as docs/conditions.md tells it; limits of time; trial when it is saved."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from openclaw_nats.errors import InvalidRoute, Poison
from openclaw_nats.events.conditions import Context, Expression, context_of
from openclaw_nats.events.decoding import Decoded
from openclaw_nats.events.makers import Maker
from openclaw_nats.inbound.judging import SLOW, Judge
from openclaw_nats.inbound.route import Route, compile_route, parse
from openclaw_nats.inbound.trial import check_possible

DATA = {
    "s": "héllo😀",
    "n": 5,
    "f": 2.5,
    "t": "2026-11-26T05:00:00+01:00",
    "l": [1, 2, 3],
    "m": {"a": 1, "p": "h|j"},
    "b": True,
    "z": None,
}


def decoded(document: bytes) -> Decoded:
    return Decoded("made", document)


def route(**more: Any) -> Route:
    return compile_route(parse({"name": "x", "pattern": "agent.events.custom.>", "target": "main", **more}), 1)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("matches(data.s, '^h.*o')", True),
        ("data.s.matches('^h.*o')", True),
        ("size(data.s)", 6),
        ("data.s.size()", 6),
        ("size(data.l) + size(data.m)", 5),
        ("timestamp(data.t).getHours()", 4),
        ("timestamp(data.t).getHours('Europe/Berlin')", 5),
        ("timestamp(data.t).getHours('-02:30')", 1),
        ("timestamp(data.t).getDayOfWeek('Pacific/Auckland')", 4),
        ("timestamp(data.t).getMonth()", 10),
        ("timestamp(data.t).getDate() - timestamp(data.t).getDayOfMonth()", 1),
        ("timestamp(data.t).getDayOfYear()", 329),
        ("int(timestamp(data.t))", 1795665600),
        ("timestamp(0) < timestamp(data.t)", True),
        ("string(timestamp(data.t))", "2026-11-26T04:00:00Z"),
        ("string(timestamp(0))", "1970-01-01T00:00:00Z"),
        ("string(duration('1m30s'))", "90s"),
        ("duration('90s').getMinutes()", 1),
        ("duration('-1.5s').getMilliseconds()", -500),
        ("data.s.matches('^(' + data.m.p + ')')", True),
        ("matches(data.s + '(', 'h')", True),
        ("string(true) + string(1) + string(2.5) + string(b'x')", "true12.5x"),
        ("bool('true') && !bool('0')", True),
        ("'size(' + 'string('", "size(string("),
        ("data.n == 5.0 && data.n in [5]", True),
        ("has(data.q)", False),
    ],
)
def test_a_line_of_the_language(source: str, value: object) -> None:
    assert Expression(source, "when").evaluate(context_of({"data": DATA})) == value


def test_an_integer_beyond_64_bits_is_a_double_and_one_beyond_that_is_poison() -> None:
    for number in (2**63, 2**64, 10**30, -(10**30)):
        assert Expression("data.n > 0 || data.n < 0", "when").evaluate(context_of({"data": {"n": number}})) is True
    with pytest.raises(Poison, match="out of range"):
        Expression("true", "when").evaluate(context_of({"data": {"n": 10**400}}))


@pytest.mark.parametrize("source", ["data.s.matches('(')", "matches(data.s, 'a{2')", 'data.s.matches("(?=a)")'])
def test_what_is_no_regular_expression_is_refused_when_it_is_saved(source: str) -> None:
    with pytest.raises(InvalidRoute, match="is not a regular expression"):
        Expression(source, "when")


@pytest.mark.parametrize(
    "source",
    [
        "timestamp(data.t).getHours('+25:00')",
        "timestamp(data.t).getHours('01:75')",
        "timestamp(9223372036854775807)",
        "timestamp('0001-01-01T00:00:00+23:59').getHours()",
        "timestamp('9999-12-31T23:59:59Z') + duration('1h')",
        "-9223372036854775808 / -1",
        "1 % 0",
    ],
)
def test_what_has_no_value_is_poison_with_a_reason(source: str) -> None:
    with pytest.raises(Poison, match=r"no time zone|years 1 to 9999|out of range|overflow|by zero|modulo"):
        Expression(source, "when").evaluate(context_of({"data": DATA}))


# Whoever may save a route (an agent, too) must not hold up the event loop by that.
@pytest.mark.parametrize(
    "when",
    [
        " || ".join(rf"data.s{n}.matches('(?:\\w{{20}}){{5}}')" for n in range(50)),
        " && ".join(rf"subject.matches('(?:\\w{{20}}){{5}}|{n}|')" for n in range(40)) + " && size(1) == 1",
        " && ".join(r"subject.matches('(?:\\w{20}){5}' + '|')" for n in range(40)) + " && size(1) == 1",
        "data.l.all(x, " + " || ".join(f"size(data.a{n}) == 'x'" for n in range(80)) + ")",
    ],
)
def test_saving_a_route_takes_a_bounded_time(when: str) -> None:
    began = time.thread_time()
    with contextlib.suppress(InvalidRoute):
        check_possible(route(when=when))
    assert time.thread_time() - began < 5


@pytest.mark.parametrize(
    "conditions",
    [
        [{"field": ".".join(["0"] * 100), "op": "contains", "value": "x"}] * 50,
        [{"field": "a", "op": "in", "value": list(range(100_000))}],
        [{"field": "a", "op": "eq", "value": "x" * 100_000}],
    ],
)
def test_a_filter_that_would_take_long_to_compile_is_refused(conditions: list[dict[str, Any]]) -> None:
    began = time.thread_time()
    with pytest.raises(InvalidRoute, match="over 20000 characters"):
        route(filter={"conditions": conditions})
    assert time.thread_time() - began < 2


def test_a_filter_of_a_usual_size_is_taken() -> None:
    many = [{"field": f"door.state{n}", "op": "eq", "value": "open"} for n in range(50)]
    check_possible(route(filter={"logic": "or", "conditions": many}))
    check_possible(route(filter={"conditions": [{"field": "id", "op": "in", "value": [str(n) for n in range(500)]}]}))


@pytest.mark.parametrize(
    "more",
    [
        {"when": "size(data.n > 1) == 1"},
        {"when": "timestamp(data.t).getHours('Nowhere/Land') > 5"},
        {"when": "size(subject)"},
        {"when": "int(true) == 1"},
        {"when": "size(data.index > 1) == 1"},
        {"when": "size(data.n > 1) == 1 // out of bounds"},
        {"when": "'has no field' != '' && size(data.n > 1) == 1"},
    ],
)
def test_a_condition_that_can_never_work_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(InvalidRoute, match="fails on every event"):
        check_possible(route(**more))


@pytest.mark.parametrize(
    "when",
    [
        "data.state == 'open' && priority >= 5",
        "data.items.exists(x, x.kind == 'a' && x.size > 3)",
        "data.a.b.c[3].d == 1",
        "timestamp(data.at) > timestamp('2026-01-01T00:00:00Z') && data.name.startsWith('x') && data.count > 3",
        "data['x y'].lower == 1 || subject.endsWith('.a')",
        "data.l[0] + data.l[1] > 3",
        "has(data.x) ? data.x > 1 : true",
        "size(data) > 2",
        "data.s.matches('^a') || matches(data.t, 'b')",
        "duration(data.d) > duration('1h')",
        "int(data.n) > 3 && double(data.f) < 2.0 && bool(data.b)",
        "event.id != '' && type(data) == map",
        r"data.t.matches('^\\d{2}:00 07$')",
        r"data.room == r'\room 012'",
        r"data.s == '\\ 00'",
        'data.s == """a"b 05"""',
        "data.n == 1 // rule 01",
        "data.n == 007",
        "data.n == 123456789012345678",
    ],
)
def test_a_condition_that_may_work_is_taken(when: str) -> None:
    check_possible(route(when=when))


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    one = Judge()
    yield one
    await one.close()


@pytest.mark.parametrize("routes", [1, 20])
async def test_many_small_values_do_not_stop_the_event_loop(judge: Judge, routes: int) -> None:
    """What the interpreter makes of a document costs by its values, not by its bytes."""
    some = [route(when=f"data.k == {number} || data.k == 1") for number in range(routes)]
    event = decoded(msgspec.json.encode({"data": {"l": [[]] * 20_000, "k": 1}}))
    assert await judge.judge(some[0], decoded(b'{"data":{"k":1,"l":[[1],[2]]}}')) == ""  # the process is there
    blocked, ended = 0.0, asyncio.Event()

    async def tick() -> None:
        nonlocal blocked
        while not ended.is_set():
            began = time.thread_time()  # the loop's own work, whatever else the machine does
            await asyncio.sleep(0)
            blocked = max(blocked, time.thread_time() - began)
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    assert [await judge.judge(one, event) for one in some] == [""] * routes
    ended.set()
    await ticking
    assert blocked < 0.02, blocked


async def test_an_event_is_made_ready_once_for_all_its_routes(judge: Judge) -> None:
    event = decoded(msgspec.json.encode({"data": {"l": list(range(3000)), "k": 1}}))
    for number in range(50):
        assert await judge.judge(route(when=f"data.k == 1 && size(data.l) > {number}"), event) == ""
    assert isinstance(event.context, Context)
    assert event.context.scope is event.context.scope


async def test_a_macro_is_judged_in_a_process(judge: Judge) -> None:
    some = route(when="data.l.exists(x, x == 2)", flow={"key": "string(data.l[0])"})
    assert not some.is_cheap(10)
    assert await judge.judge(some, decoded(msgspec.json.encode({"data": {"l": [1, 2]}}))) == "1"
    assert await judge.judge(some, decoded(msgspec.json.encode({"data": {"l": [1, 3]}}))) is None
    with pytest.raises(Poison, match="no field"):
        await judge.judge(some, decoded(b'{"data":{}}'))
    with pytest.raises(Poison, match="out of range"):
        await judge.judge(some, decoded(b'{"data":{"l":[1e400]}}'))


@pytest.mark.parametrize(
    "when",
    ["data.l.all(x, x in data.l && !(x + 1000000 in data.l))", " + ".join(["data.l"] * 200) + " == data.l"],
)
async def test_a_condition_that_takes_long_is_stopped_and_soon_not_asked(judge: Judge, when: str) -> None:
    document = msgspec.json.encode({"data": {"l": list(range(100_000, 200_000))}})
    slow = route(when=when)
    for _ in range(SLOW):
        with pytest.raises(Poison, match=r"took too long|memory|died"):
            await judge.judge(slow, decoded(document))
    began = time.monotonic()
    with pytest.raises(Poison, match="tried again after a minute"):
        await judge.judge(slow, decoded(document))
    assert time.monotonic() - began < 0.2
    assert await judge.judge(route(when="data.l.all(x, x > 5)"), decoded(document)) == ""


# A route of an agent may be meant to stop the bus: whatever hides a macro from a search is found all the same.
@pytest.mark.parametrize(
    "hidden",
    [
        "data.l.map(//\nid, id).size() > 0",
        "data.l.map((id), id).size() > 0",
        r'r"\" != "x" || data.l.map(id, id != "a").size() > 0',
        """'''a'"b''' == "" || data.l.all(id, id != "a") || '"' == """ + "''",
        "data.l\n.\nall // (\n(\nid\n, id == 'b')",
        "subject.matches(data.p)",
        "subject.matches(data.p + 'a')",
        "matches(subject, data.p)",
        r"subject.matches('(\\w{10}){9}' + '')",
        r"subject.matches('\\w\\w\\w\\w\\w\\w\\w\\w')",
    ],
)
def test_what_may_take_long_is_found_however_it_is_hidden(hidden: str) -> None:
    assert not Expression(hidden, "when").is_cheap(10)


@pytest.mark.parametrize(
    "usual", ["subject.matches('^a[0-9]+')", r"matches(data.s, r'^\w+\.\d+$')", "data.name == 'x'"]
)
def test_a_usual_expression_is_cheap(usual: str) -> None:
    assert Expression(usual, "when").is_cheap(1000)


def test_a_macro_in_another_is_refused_with_white_space_and_comments_too() -> None:
    for nested in ("data.l. all(x, data.l. all(y, x == y))", "data.l.all(x, data.l.//\nall // b\n(y, x == y))"):
        with pytest.raises(InvalidRoute, match="lies inside another"):
            Expression(nested, "when")


@pytest.mark.parametrize(
    ("source", "value"),
    [
        (r'size(r"\")', 1),
        (r'r"size(" == "size("', True),
        ("'''a'b''' == \"a'b\"", True),
        ('size("""a"\'b""")', 4),
        ("size(data.s) // + size(1)", 6),
        ("'// no comment' == '' || size(data.s) == 6", True),
    ],
)
def test_texts_and_comments_are_told_apart_as_the_language_does(source: str, value: object) -> None:
    assert Expression(source, "when").evaluate(context_of({"data": DATA})) == value


async def test_a_pattern_that_an_event_brings_is_tried_in_a_process(judge: Judge) -> None:
    some = route(when="subject.matches(data.p)")
    document = {"subject": "agent.events.custom.a", "data": {"p": r"(?:\p{L}{200}){4}"}}
    with pytest.raises(Poison, match=r"not a valid regex|took too long"):
        await judge.judge(some, decoded(msgspec.json.encode(document)))
    assert await judge.judge(some, decoded(msgspec.json.encode({**document, "data": {"p": "custom"}}))) == ""


async def test_slow_events_between_quick_ones_are_counted_too(judge: Judge) -> None:
    """Else whoever publishes on both sides could hold up every other route."""
    some = route(when="data.l.all(x, x in data.l && !(x + 1000000 in data.l))")
    quick, slow = (msgspec.json.encode({"data": {"l": list(range(n))}}) for n in (1, 100_000))
    for _ in range(SLOW):
        assert await judge.judge(some, decoded(quick)) == ""
        with pytest.raises(Poison, match=r"took too long|memory|died"):
            await judge.judge(some, decoded(slow))
    with pytest.raises(Poison, match="tried again after a minute"):
        await judge.judge(some, decoded(slow))
    # three events of somebody's do not take the route from the others
    assert await judge.judge(some, decoded(quick)) == ""


async def test_the_conditions_of_one_agent_share_a_share_of_the_time() -> None:
    now = [0.0]
    judge = Judge(lambda: now[0])

    async def slowly(request: bytes) -> bytes:
        now[0] += 0.4  # under the limit of one event
        return msgspec.json.encode({"key": ""})

    judge._worker.ask = slowly  # type: ignore[method-assign]
    mine = [
        replace(route(when=f"data.l.exists(x, x == {n})"), maker=Maker("guest", f"agent:guest:{n}")) for n in range(20)
    ]
    for one in mine[:5]:
        assert await judge.judge(one, decoded(b"{}")) == ""
    with pytest.raises(Poison, match=r"conditions of agent guest took 2\.0 s"):
        await judge.judge(mine[5], decoded(b"{}"))
    operators = route(when="data.l.exists(x, x == 0)")
    for _ in range(20):
        assert await judge.judge(operators, decoded(b"{}")) == ""
    now[0] += 60
    assert await judge.judge(mine[0], decoded(b"{}")) == ""
    await judge.close()
