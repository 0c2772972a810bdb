"""What is wrong with a route that is being written: every field is looked at, not only the first that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.conditions import condition_of, filter_to_cel
from openclaw_nats.events.subjects import check_pattern
from openclaw_nats.inbound.route import compile_route, parse, parse_target, target_problem
from openclaw_nats.inbound.template_check import check_template
from openclaw_nats.inbound.trial import check_possible

_CHECKS: dict[str, Callable[[Any], object]] = {
    "pattern": check_pattern,
    "target": parse_target,
    "when": condition_of,
    "filter": lambda value: condition_of(filter_to_cel(value), "filter"),
    "template": check_template,
}


def check_route(value: object, agents: Agents) -> list[dict[str, str]]:
    """The problems of a route that is not saved, each with its field ("" for the rest), message and hint."""
    problems = []
    fields = value if isinstance(value, dict) else {}
    for name, check in _CHECKS.items():
        if fields.get(name) is None:
            continue
        try:
            if name in ("pattern", "when", "template") and not isinstance(fields[name], str):
                continue  # told below, with the others of the wrong type
            check(fields[name])
        except OpenClawNatsError as error:
            problems.append({"field": name, "message": str(error), "hint": error.hint})
    if problems:
        return problems
    try:
        document = parse(value)
        check_possible(compile_route(document))
        problem, hint = target_problem(document, agents)
        if problem:
            problems.append({"field": "target", "message": problem, "hint": hint})
    except OpenClawNatsError as error:
        problems.append({"field": _field(str(error)), "message": str(error), "hint": error.hint})
    return problems


def _field(message: str) -> str:
    first = message.split(" ", 1)[0].partition(".")[0]
    return first if first in ("name", "flow", "retry", "payload", "priority", "until", "expiresAfter") else ""
