"""JSON Schemas of the contract's structs, for the OpenAPI document, the dashboard's types and the tool list."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache

import msgspec

from openclaw_nats.contract import (
    alerts,
    approvals,
    audit,
    deliveries,
    events,
    expectations,
    fields,
    fleet,
    health,
    history,
    pauses,
    plugin,
    problems,
    replays,
    routes,
    runs,
    schedules,
    sources,
    spending,
    tool_results,
    tools,
    verify,
    views,
    why,
)

Schema = dict[str, object]
_MODULES = (
    fields,
    alerts,
    approvals,
    problems,
    events,
    routes,
    deliveries,
    schedules,
    fleet,
    health,
    pauses,
    plugin,
    views,
    history,
    tool_results,
    audit,
    sources,
    verify,
    spending,
    why,
    expectations,
    replays,
    runs,
)
_BASES = ("Answer", "_Part")
_TEMPLATE = "#/components/schemas/{name}"


def shapes() -> Iterator[type[msgspec.Struct]]:
    """Every struct that crosses the API."""
    for module in _MODULES:
        for name, found in vars(module).items():
            ours = isinstance(found, type) and issubclass(found, msgspec.Struct) and found.__module__ == module.__name__
            if ours and name not in _BASES:
                yield found


@cache
def components() -> dict[str, Schema]:
    """The schemas of all of them, by name: `components.schemas` of the OpenAPI document."""
    _, found = msgspec.json.schema_components(list(shapes()), ref_template=_TEMPLATE)
    return {name: _tidy(schema) for name, schema in sorted(found.items())}


def as_json(schema: Schema) -> dict[str, Schema]:
    """A request's body by its content type: JSON of this schema."""
    return {"application/json": schema}


def ref(shape: type[msgspec.Struct]) -> Schema:
    """A reference to one of them."""
    return {"$ref": _TEMPLATE.format(name=shape.__name__)}


def tool_list() -> list[Schema]:
    """The agents' tools, as the plugin registers them: name, description, parameters."""
    return [
        {"name": name, "description": inspect.cleandoc(shape.__doc__ or ""), "parameters": _parameters(shape)}
        for name, shape in tools.TOOLS.items()
    ]


def _parameters(shape: type[msgspec.Struct]) -> Schema:
    """Without what a model has no use for: titles, defaults, and that null is the same as nothing."""
    _, found = msgspec.json.schema_components([shape])
    schema = _tidy(found[shape.__name__])
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101  (every struct is an object)
    return {
        "type": "object",
        "properties": {name: _plain(one) for name, one in properties.items()},
        "required": schema.get("required", []),
        "additionalProperties": False,
    }


def _plain(schema: Schema) -> Schema:
    alternatives = schema.get("anyOf")
    if isinstance(alternatives, list):
        kept = [one for one in alternatives if one != {"type": "null"}]
        text = schema.get("type")  # the one form that models are told of
        if len(kept) == 1 or text is not None:
            schema = {
                **{key: value for key, value in schema.items() if key != "anyOf"},
                **(kept[0] if not text else {}),
            }
    found = {key: value for key, value in schema.items() if key != "default"}
    order = ("type", "description")
    return {**{key: found[key] for key in order if key in found}, **found}


def _tidy(schema: Schema) -> Schema:
    """A struct's schema without titles, without defaults that are null, and with its docstring as people write it."""
    found = {key: value for key, value in schema.items() if key != "title"}
    if isinstance(text := found.get("description"), str):
        found["description"] = " ".join(inspect.cleandoc(text).split())
    if isinstance(properties := found.get("properties"), dict):
        found["properties"] = {
            name: {key: value for key, value in one.items() if key != "default" or value is not None}
            for name, one in properties.items()
        }
    if found.get("required") == []:
        del found["required"]
    return found


def changes(shape: type[msgspec.Struct]) -> Schema:
    """What changes a stored one: each field may be left out, and null takes it back to its default."""
    schema = components()[shape.__name__]
    properties = schema["properties"]
    assert isinstance(properties, dict)  # noqa: S101
    kept = {name: one if name == "name" else {"anyOf": [one, {"type": "null"}]} for name, one in properties.items()}
    return {"type": "object", "properties": kept, "additionalProperties": False}
