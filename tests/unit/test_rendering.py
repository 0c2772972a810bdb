"""The text of a turn: the default list, templates with their limits, payloads."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from openclaw_nats.errors import InvalidRoute, Poison, Unavailable
from openclaw_nats.inbound.render_process import RenderProcesses, TooLong
from openclaw_nats.inbound.rendering import Renderer, default_text, with_payload
from openclaw_nats.inbound.route import Route, compile_route, parse
from openclaw_nats.sandbox import process as process_module

LOOPING = "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}"


def event(number: int, data: Any = None) -> dict[str, Any]:
    return {
        "id": f"e{number}",
        "subject": "agent.events.custom.door",
        "time": f"2026-11-22T10:00:0{number}.000Z",
        "data": data,
    }


def route(template: str, **more: Any) -> Route:
    return compile_route(
        parse({"name": "door", "pattern": "agent.events.>", "target": "main", "template": template, **more}), 1
    )


@pytest.fixture
async def processes() -> AsyncIterator[RenderProcesses]:
    one = RenderProcesses()
    yield one
    await one.close()


@pytest.fixture
def renderer(processes: RenderProcesses) -> Renderer:
    return Renderer(processes, 2000)


def test_the_default_lists_subject_time_and_data() -> None:
    assert default_text("door", [event(1, {"n": 1})]) == (
        'Event on route "door":\nagent.events.custom.door 2026-11-22T10:00:01.000Z {"n":1}'
    )
    assert default_text("door", [event(1, "on"), event(2)]).split("\n") == [
        '2 events on route "door", 2026-11-22T10:00:01.000Z to 2026-11-22T10:00:02.000Z:',
        "1. agent.events.custom.door 2026-11-22T10:00:01.000Z on",
        "2. agent.events.custom.door 2026-11-22T10:00:02.000Z",
    ]


def test_a_payload_is_merged_as_upstream_does() -> None:
    assert with_payload(event(1, {"a": 1, "b": 2}), {"b": 3})["data"] == {"a": 1, "b": 3}
    assert with_payload(event(1, 5), {"b": 3})["data"] == {"value": 5, "b": 3}
    assert with_payload(event(1), {"b": 3})["data"] == {"b": 3}


async def test_a_template_for_one_event_is_rendered_for_each_of_a_digest(renderer: Renderer) -> None:
    text = await renderer.render(route("Door {{ data.n }} ({{ count }})"), [event(1, {"n": 1}), event(2, {"n": 2})])
    assert text == "Door 1 (2)\n\nDoor 2 (2)"


async def test_a_template_over_all_events_is_rendered_once(renderer: Renderer) -> None:
    text = await renderer.render(
        route("{{ events|length }}: {% for e in events %}{{ e.data.n }} {% endfor %}", payload={"x": 1}),
        [event(1, {"n": 1}), event(2, {"n": 2})],
    )
    assert text == "2: 1 2 "


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}", "took longer than 0.5 s"),
        ("{{ 'x' * 10000000000 }}", "MiB"),
        ("{{ data.n.missing.deeper() }}", "has no attribute 'missing'"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
        ("{{ events.append(1) }}", "unsafe"),
        ("{{ 'x' * 3000 }}", "longer than 2000 bytes"),
    ],
)
async def test_a_template_that_goes_wrong_is_poison_with_its_reason(
    renderer: Renderer, template: str, message: str
) -> None:
    with pytest.raises(Poison) as raised:
        await renderer.render(route(template), [event(1, {"n": 1})])
    assert message in str(raised.value)


async def test_the_sandbox_gives_nothing_away(renderer: Renderer) -> None:
    text = await renderer.render(
        route("{{ data.__class__ }}{{ [].append.__globals__ }}|{{ self }}|{{ config }}|{{ data.missing }}"),
        [event(1, {"n": 1})],
    )
    assert "class" not in text.replace("TemplateReference", "")
    assert text.startswith("|")


async def test_a_hanging_template_does_not_delay_others(renderer: Renderer) -> None:
    looping = route(LOOPING)
    with pytest.raises(Poison):
        await renderer.render(looping, [event(1)])
    began = time.monotonic()
    slow = [asyncio.create_task(renderer.render(looping, [event(1)])) for _ in range(4)]
    await asyncio.sleep(0.05)
    other = compile_route(parse({"name": "x", "pattern": "agent.events.>", "target": "main", "template": "ok"}), 2)
    assert await renderer.render(other, [event(1)]) == "ok"
    assert time.monotonic() - began < 1.5
    assert all(isinstance(result, Poison) for result in await asyncio.gather(*slow, return_exceptions=True))


async def test_the_one_event_that_fails_is_found(renderer: Renderer) -> None:
    bad = await renderer.sort_out(
        route("{{ 10 // data.n }}"), [event(1, {"n": 1}), event(2, {"n": 0}), event(3, {"n": 5})]
    )
    assert list(bad) == [1]
    assert "ZeroDivisionError" in bad[1]


async def test_a_digest_that_is_too_long_asks_for_fewer(renderer: Renderer) -> None:
    with pytest.raises(TooLong):
        await renderer.render(route("{{ data.n }}"), [event(1, {"n": "x" * 1500}), event(2, {"n": "y" * 1500})])


async def test_a_process_that_died_while_it_waited_is_replaced(renderer: Renderer, processes: RenderProcesses) -> None:
    assert await renderer.render(route("a {{ data }}"), [event(1, 1)]) == "a 1"
    assert processes._fast._process is not None
    processes._fast._process.kill()
    assert await renderer.render(route("a {{ data }}"), [event(1, 2)]) == "a 2"


async def test_a_template_that_kills_its_process_twice_is_poison(
    renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = []
    exchange = process_module._exchange

    async def killing(process: Process, request: bytes) -> bytes:
        if b"deadly" in request:
            killed.append(process.pid)
            process.kill()
        return await exchange(process, request)

    monkeypatch.setattr(process_module, "_exchange", killing)
    with pytest.raises(Poison, match="its process died"):
        await renderer.render(route("deadly {{ data }}"), [event(1)])
    assert len(set(killed)) == 2
    assert await renderer.render(route("a {{ data }}"), [event(1, 1)]) == "a 1"


async def test_no_process_at_all_is_not_the_templates_fault(
    renderer: Renderer, processes: RenderProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Unavailable, match="can't be started: it ended at once"):
            await renderer.render(route("a {{ data }}"), [event(1, 1)])
        assert "can't be started" in processes.last_error
    assert await renderer.render(route("a {{ data }}"), [event(1, 1)]) == "a 1"
    assert processes.last_error == ""


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ data.items }}", "[1, 2]"),
        ("{% for one in data.items %}{{ one }};{% endfor %}", "1;2;"),
        ("{{ data.alerts[0].values.B }}", "44.2"),
        ("{{ data.keys }}{{ data.get }}{{ data.copy }}{{ data.update.id }}{{ data.pop }}", "kgtrue5[3]"),
        ("{{ data['items'] }}", "[1, 2]"),
        ("{{ data.nothing.values }}|{{ event.items }}|{{ data.setdefault }}|{{ data.alerts.count }}", "|||"),
        ("{% for key, value in data.plain.items() %}{{ key }}={{ value }}{% endfor %}", "a=1"),
        ("{{ data.alerts | map(attribute='values') | list }}", '[{"B": 44.2}]'),
        ("{{ data.values ~ '!' }}{{ data['values'] ~ '?' }}", "!?"),
        ("{{ data.values | upper }}{{ [data.values] | join }}", ""),
        ("{{ '%s' % data.values }}{{ '{}'.format(data.values) }}", ""),
        ("{{ data.values or 'none' }} {{ data.values | default('d') }} {{ data.values is defined }}", "none d false"),
        ("{{ data.values | length }}{{ data.alerts.count ~ 1 }}{{ 'x' ~ data.keys.title }}", "01x"),
        ("{{ data.get ~ data.copy ~ data.pop ~ data.nothing ~ none }}", "gtrue[3]"),
        ("{{ data.plain.keys() | list }}{{ data.keys.upper() }}{{ 'a,b'.split(',') }}", '["a"]K["a", "b"]'),
        ("{{ data.plain.keys.__self__ }}{{ data.plain.keys._method }}{{ ''.__class__ }}", ""),
    ],
)
async def test_a_field_goes_before_a_method_of_that_name(renderer: Renderer, template: str, text: str) -> None:
    data = {
        "alerts": [{"values": {"B": 44.2}}],
        "items": [1, 2],
        "keys": "k",
        "update": {"id": 5},
        "get": "g",
        "copy": True,
        "pop": [3],
        "plain": {"a": 1},
    }
    assert await renderer.render(route(template), [event(1, data)]) == text


@pytest.mark.parametrize("target", ["main", {"kind": "webhook", "url": "http://127.0.0.1:9/"}])
async def test_the_limit_is_bytes_and_nothing_is_cut_silently(processes: RenderProcesses, target: Any) -> None:
    small = Renderer(processes, 100)
    one = compile_route(
        parse({"name": "x", "pattern": "agent.events.>", "target": target, "template": '{"a":"{{ data }}"}'}), 3
    )
    fits = "é" * 46
    assert await small.render(one, [event(1, fits)]) == f'{{"a":"{fits}"}}'
    with pytest.raises(Poison, match="longer than 100 bytes"):
        await small.render(one, [event(1, fits + "é")])
    with pytest.raises(TooLong):
        await small.render(one, [event(1, fits), event(2, fits)])


async def test_a_default_text_that_is_cut_says_so(processes: RenderProcesses) -> None:
    plain = compile_route(parse({"name": "x", "pattern": "agent.events.>", "target": "main"}), 3)
    text = await Renderer(processes, 200).render(plain, [event(1, "é" * 300)])
    assert text.endswith("… [cut]")
    assert len(text.encode()) <= 200


async def test_a_number_out_of_range_costs_only_the_text_that_has_to_read_it(renderer: Renderer) -> None:
    one = {**event(1), "data": msgspec.Raw(b'{"n":1e400}')}
    assert default_text("door", [one]).endswith('{"n":1e400}')
    with pytest.raises(Poison, match="out of range"):
        await renderer.render(route("{{ data.n }}"), [one])
    assert msgspec.json.encode(with_payload(one, {"x": 1})["data"]) == b'{"n":1e400,"x":1}'


@pytest.mark.parametrize(
    "template", ['a{{ "\\ud800" }}b', 'a{{ ["\\ud800"] }}b', '{{ missing("\\udfff") }}', '{{ ["\\ud800"].x() }}']
)
async def test_half_a_character_of_a_template_is_whole_or_a_reason(renderer: Renderer, template: str) -> None:
    try:
        text = await renderer.render(route(template), [event(1)])
    except Poison:
        return
    assert "\ufffd" in text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ data.l|map('upper') }}", '["A", "B"]'),
        ("{{ data.l|unique }} {{ data.l|reverse }} {{ data.l|select }}", '["a", "b"] ["b", "a"] ["a", "b"]'),
        ("{{ data.l|batch(1) }}", '[["a"], ["b"]]'),
        ("{{ data.d.items() }} {{ data.d.keys() }}", '[["x", {"y": true}]] ["x"]'),
        ("{{ data.l|map('upper')|tojson }}", '["A", "B"]'),
        ("{{ data.none|tojson }} {{ [data.none, 1]|tojson }}", "null [null, 1]"),
        ("{{ events|map(attribute='data.none')|list }}", "[null]"),
        ("{{ data.d|tojson(indent=2) }}", '{\n  "x": {\n    "y": true\n  }\n}'),
        ("{{ data.d|string }} {{ data.d.x.y|string }} {{ 7|string }}", '{"x": {"y": true}} true 7'),
        ("{{ self }}{{ data.l.append }}{{ none }}{{ data.nothing }}", ""),
        ("{{ (1, 2) }} {{ range(3) }}", "[1, 2] [0, 1, 2]"),
    ],
)
async def test_what_filters_make_is_shown_as_json_and_what_is_missing_as_nothing(
    renderer: Renderer, template: str, text: str
) -> None:
    document = event(1, {"l": ["a", "b"], "d": {"x": {"y": True}}})
    assert await renderer.render(route(template), [document]) == text


@pytest.mark.parametrize("expression", ["+".join(["1"] * 2000), "data" + ".a" * 3000, "data" + "|trim" * 3000])
def test_an_expression_that_is_too_long_is_refused_in_words(expression: str) -> None:
    with pytest.raises(InvalidRoute, match="template"):
        route("{{ " + expression + " }}")
