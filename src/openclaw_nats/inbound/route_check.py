"""What is wrong with a route that is being written: every field is looked at, not only the first that is wrong."""

from __future__ import annotations

from collections.abc import Callable

from openclaw_nats.contract.problems import Trouble
from openclaw_nats.contract.routes import RouteDocument
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.conditions import condition_of, filter_to_cel
from openclaw_nats.events.subjects import check_pattern
from openclaw_nats.inbound.route import check_trusted, compile_route, parse
from openclaw_nats.inbound.target import parse_target, target_problem
from openclaw_nats.inbound.template_check import check_template
from openclaw_nats.inbound.trial import check_possible


def _text(check: Callable[[str], object]) -> Callable[[object], object]:
    """A check of text; what is none is told below, with the others of the wrong type."""
    return lambda value: check(value) if isinstance(value, str) else None


_CHECKS: dict[str, Callable[[object], object]] = {
    "pattern": _text(check_pattern),
    "target": parse_target,
    "when": _text(condition_of),
    "filter": lambda value: condition_of(filter_to_cel(value), "filter"),
    "template": _text(check_template),
}


def check_route(
    value: object, agents: Agents, find: Callable[[str], RouteDocument | None] = lambda name: None
) -> list[Trouble]:
    """The problems of a route that is not saved, each with its field ("" for the rest), message and hint.

    `find` gives the saved route of a name.
    """
    problems = []
    fields = value if isinstance(value, dict) else {}
    for name, check in _CHECKS.items():
        if fields.get(name) is None:
            continue
        try:
            check(fields[name])
        except OpenClawNatsError as error:
            problems.append(Trouble(name, str(error), error.hint))
    if problems:
        return problems
    try:
        document = parse(value)
        check_possible(compile_route(document))
        check_trusted(document, find(document.name))
        problem, hint = target_problem(document.target, agents)
        if problem:
            problems.append(Trouble("target", problem, hint))
    except OpenClawNatsError as error:
        problems.append(Trouble(error.field.partition(".")[0], str(error), error.hint))
    return problems
