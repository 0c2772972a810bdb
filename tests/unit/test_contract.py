"""The contract: every shape is described, and checked with words that name the field."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from openclaw_nats.api import openapi
from openclaw_nats.contract import schemas, tool_results
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.routes import RouteDocument
from openclaw_nats.contract.schedules import JobDocument
from openclaw_nats.contract.tools import TOOLS, Subscribe
from openclaw_nats.errors import InvalidInput, InvalidRoute

ROUTE: dict[str, Any] = {"name": "door", "pattern": "agent.events.custom.door.>", "target": "main"}


def test_every_shape_says_what_it_is() -> None:
    for shape in (*schemas.shapes(), *TOOLS.values()):
        text = shape.__doc__ or ""
        assert len(text.split()) >= 2, shape
        assert "self, " not in text, shape  # the docstring that a struct gets when it has none


def test_the_document_refers_only_to_shapes_that_it_holds() -> None:
    text = msgspec.json.encode(openapi.document()).decode()
    document = msgspec.json.decode(text)
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(document["components"]["schemas"])
    assert set(document["components"]["schemas"]) == set(schemas.components())


def test_shapes_have_names_of_their_own() -> None:
    found = [shape.__name__ for shape in schemas.shapes()]
    assert len(found) == len(set(found))
    assert set(found) <= set(schemas.components())


@pytest.mark.parametrize(
    ("changes", "message", "field", "hint"),
    [
        ({"name": None}, "name must be text, not null", "name", ""),
        ({"pattern": 7}, "pattern must be text, not a whole number", "pattern", ""),
        ({"colour": "red"}, "colour is not known", "colour", "Fields: name, pattern"),
        ({"prioriti": 3}, "prioriti is not known", "prioriti", "Did you mean priority?"),
        ({"priority": 11}, "priority must be a whole number, at most 10", "priority", ""),
        ({"priority": "high"}, "priority must be a whole number, not text", "priority", ""),
        ({"confirm": "maybe"}, "confirm must be one of accepted, ended, ok, not 'maybe'", "confirm", ""),
        ({"enabled": "yes"}, "enabled must be true or false, not text", "enabled", ""),
        ({"target": 5}, "target must be text or an object, not a whole number", "target", ""),
        ({"target": {}}, "target.kind is missing", "target.kind", "kind"),
        ({"target": {"kind": "pigeon"}}, "target.kind must be one of session, agent, wake", "target.kind", ""),
        ({"target": {"kind": "agent"}}, "target.agentId is missing", "target.agentId", ""),
        ({"target": {"kind": "webhook", "url": 3}}, "target.url must be text, not a whole number", "target.url", ""),
        ({"flow": {"batch": {"size": 0}}}, "flow.batch.size must be a whole number, at least 1", "flow.batch.size", ""),
        ({"flow": {"batch": 5}}, "flow.batch must be an object, not a whole number", "flow.batch", ""),
        ({"flow": {"turbo": 1}}, "flow.turbo is not known", "flow.turbo", "debounce"),
        ({"flow": {"rate": {"count": 5}}}, "flow.rate.per is missing", "flow.rate.per", "count, per"),
        (
            {"retry": {"backoff": ["5s", 3]}},
            "retry.backoff[1] must be text, not a whole number",
            "retry.backoff[1]",
            "",
        ),
        ({"retry": {"backoff": ["5s"] * 101}}, "retry.backoff must be a list, at most 100 long", "retry.backoff", ""),
        ({"payload": ["x"]}, "payload must be an object, not a list", "payload", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_path(changes: dict[str, Any], message: str, field: str, hint: str) -> None:
    with pytest.raises(InvalidRoute) as raised:
        check({**ROUTE, **changes}, RouteDocument, "a route", InvalidRoute)
    assert str(raised.value).startswith(message)
    assert raised.value.field == field
    assert hint in raised.value.hint


@pytest.mark.parametrize("value", [None, 5, "main", [], [ROUTE]])
def test_what_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="a route must be a JSON object"):
        check(value, RouteDocument, "a route", InvalidRoute)


def test_a_shape_that_is_nested_beyond_all_limits_is_refused() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidInput):
        check({**ROUTE, "flow": deep}, RouteDocument, "a route", InvalidRoute)


def test_names_that_others_chose_stay_short_in_messages() -> None:
    with pytest.raises(InvalidInput) as raised:
        check({**ROUTE, "x" * 100_000: 1}, RouteDocument, "a route", InvalidRoute)
    assert len(str(raised.value)) < 200
    with pytest.raises(InvalidInput) as raised:
        check({**ROUTE, "confirm": "y" * 100_000}, RouteDocument, "a route", InvalidRoute)
    assert len(str(raised.value)) < 200


def test_a_changed_shape_may_leave_out_everything_and_take_fields_back() -> None:
    schema: dict[str, Any] = schemas.changes(JobDocument)
    assert "required" not in schema
    assert {"type": "null"} in schema["properties"]["timezone"]["anyOf"]


def test_models_are_told_of_one_form_for_each_parameter() -> None:
    for tool in schemas.tool_list():
        text = msgspec.json.encode(tool).decode()
        assert '"anyOf"' not in text, tool["name"]
        assert '"null"' not in text, tool["name"]
    parameters: Any = next(one["parameters"] for one in schemas.tool_list() if one["name"] == "nats_subscribe")
    assert list(parameters["properties"]) == [field.encode_name for field in msgspec.structs.fields(Subscribe)]
    assert parameters["required"] == ["pattern"]


def test_every_tool_has_a_shape_for_what_it_gives_back() -> None:
    assert set(tool_results.RESULTS) == set(TOOLS)
    named = {shape.__name__ for shape in tool_results.RESULTS.values()}
    assert named <= set(schemas.components())
