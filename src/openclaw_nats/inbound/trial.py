"""A condition is tried on made events when its route is saved: one that fails on all of them can never work.

The fields that it names get values of every type, its own literals among them. It is refused only when each try failed
for a reason of types; a field or index that the made events lack proves nothing. Events of the stream, on which it is
tried as well (stream_trial.py), say more than made ones: one on which it works is enough.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from openclaw_nats.errors import InvalidRoute, Poison
from openclaw_nats.events import cel_text
from openclaw_nats.events.conditions import context_of
from openclaw_nats.inbound.route import Route

MAX_TRIES = 400
SECONDS = 0.5  # of processor time, in the event loop: what takes longer proves nothing
_PATH = re.compile(r"\bdata((?:\.[A-Za-z_]\w*(?!\w*\s*\()|\[\s*'[^']*'\s*\]|\[\s*\"[^\"]*\"\s*\])+)")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[\s*['\"]([^'\"]*)['\"]\s*\]")
_NUMBER = re.compile(r"\b\d{1,18}(?:\.\d{1,18})?\b")
_QUOTED = re.compile(r"""[bBrR]*(\"{3}|'{3}|"|')([\s\S]*)\1""")
_SCALARS: tuple[object, ...] = ("text", "true", "7", "2026-11-26T05:00:00Z", "90s", 7, -1, 2.5, True, False, None)
HINT = "docs/conditions.md lists what there is."
_INCONCLUSIVE = ("has no field", "index", "out of bounds")


@dataclass(frozen=True, slots=True)
class Failure:
    """An expression of a route that failed on all made events; `proven` when that shows that it can never work."""

    field: str
    reason: str
    proven: bool


def check_possible(route: Route) -> None:
    """Raise InvalidRoute when a condition of the route or its flow key can never work, as made events show."""
    failure = failure_on_made(route)
    if failure is not None and failure.proven:
        raise InvalidRoute(f"{failure.field} fails on every event: {failure.reason}", hint=HINT)


def failure_on_made(route: Route) -> Failure | None:
    """The first expression that fails on every event that can be made for it; None when each worked on one."""
    found: Failure | None = None
    for field, source, work in [
        *(("when", one.source, one.holds) for one in route.conditions if one.costly_patterns < 2),
        *([("flow.key", route.key.source, route.key.evaluate)] if route.key and route.key.costly_patterns < 2 else []),
    ]:
        reasons: list[str] = []
        began = time.thread_time()
        for data in itertools.islice(_made(source), MAX_TRIES):
            try:
                work(context_of(_document(route, data)))
                break
            except Poison as error:
                reasons.append(str(error))
                if not proves(reasons[-1], source) or time.thread_time() - began > SECONDS:
                    found = found or Failure(field, reasons[-1], proven=False)
                    break
        else:
            return Failure(field, max(set(reasons), key=reasons.count), proven=True)
    return found


def proves(reason: str, *sources: str) -> bool:
    """Whether a failure of an expression says something about other events: not when this one only lacked a field.

    The reason begins with the expression, one of `sources`, whose own words say nothing.
    """
    said = next((reason.removeprefix(repr(one)) for one in sources if reason.startswith(repr(one))), reason)
    return not any(words in said for words in _INCONCLUSIVE)


def _document(route: Route, data: object) -> dict[str, object]:
    subject = route.pattern.replace(">", "x").replace("*", "x")
    attributes = ("agentid", "sessionkey", "sessionid", "runid", "gatewayid")
    time = "2026-11-26T05:00:00Z"
    found = {"id": "made", "source": "made", "type": "made", "subject": subject, "time": time, "data": data}
    return found | dict.fromkeys(attributes, "made")


def _made(source: str) -> Iterator[object]:
    """Values of `data`."""
    paths = [tuple(one or other for one, other in _STEP.findall(found)) for found in _PATH.findall(source)]
    paths = [path for path in dict.fromkeys(paths) if not any(other[: len(path)] == path != other for other in paths)]
    texts = [found[2] for one in cel_text.strings(source, 0, len(source)) if (found := _QUOTED.fullmatch(one))]
    numbers = [float(one) if "." in one else int(one) for one in _NUMBER.findall(cel_text.blanked(source))]
    literals: list[object] = [*texts, *numbers]
    scalars = list(dict.fromkeys(map(_hashable, [*literals, *_SCALARS])))
    names = set(re.findall(r"\.([A-Za-z_]\w*)", source))
    values: list[object] = []
    for _, scalar in scalars:
        whole = dict.fromkeys(names, scalar)
        values += [scalar, [scalar] * 8, whole, [whole] * 8]
    if not paths:
        yield from values
        return
    for value in values:
        yield _with(paths, [value] * len(paths))
    for chosen in itertools.product(values, repeat=min(2, len(paths))):
        yield _with(paths, [chosen[at % len(chosen)] for at in range(len(paths))])


def _hashable(value: object) -> tuple[str, object]:
    return type(value).__name__, value


def _with(paths: list[tuple[str, ...]], values: list[object]) -> dict[str, object]:
    data: dict[str, object] = {}
    for path, value in zip(paths, values, strict=True):
        place = data
        for step in path[:-1]:
            inner = place.setdefault(step, {})
            place = inner if isinstance(inner, dict) else {}
        place[path[-1]] = value
    return data
