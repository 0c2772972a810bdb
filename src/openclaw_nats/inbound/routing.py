"""Which routes want a subject: an index of the patterns, so that the cost does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Iterable

from openclaw_nats.events.subjects import EVERYTHING, MAX_TOKENS, covers
from openclaw_nats.inbound.route import Route

MAX_FILTERS = 64
MANY = 256
_CACHE = 8192


class _Node:
    __slots__ = ("children", "ends", "rest")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.ends: list[Route] = []
        self.rest: list[Route] = []  # patterns that go on with >


class RouteIndex:
    """The enabled routes by pattern: a tree of tokens, with the answers for recent subjects remembered."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._remembered: dict[str, tuple[Route, ...]] = {}
        for route in routes:
            self._insert(route)

    def routes_for(self, subject: str) -> tuple[Route, ...]:
        """The routes whose pattern covers a valid subject, in the order of their numbers."""
        found = self._remembered.get(subject)
        if found is None:
            hits: list[Route] = []
            _collect(self._root, subject.split("."), 0, hits)
            found = tuple(sorted(hits, key=lambda route: route.id))
            if len(self._remembered) >= _CACHE:
                self._remembered.clear()
            self._remembered[subject] = found
        return found

    def _insert(self, route: Route) -> None:
        node = self._root
        tokens = route.pattern.split(".")
        for token in tokens[:-1] if tokens[-1] == ">" else tokens:
            node = node.children.setdefault(token, _Node())
        (node.rest if tokens[-1] == ">" else node.ends).append(route)


def _collect(node: _Node, tokens: list[str], at: int, hits: list[Route]) -> None:
    if at == len(tokens):
        hits += node.ends
        return
    hits += node.rest
    for token in {tokens[at], "*"}:
        if (child := node.children.get(token)) is not None:
            _collect(child, tokens, at + 1, hits)


def reduce_patterns(patterns: Iterable[str]) -> list[str]:
    """Patterns that cover the same subjects without overlapping, as a consumer's filter needs them.

    Patterns that overlap without one covering the other (`a.*.c` and `a.b.*`) are widened to one that covers both;
    more than MAX_FILTERS are widened too, since a consumer that asks for a little too much is harmless.
    """
    left = sorted(set(patterns))
    depth = MAX_TOKENS
    while len(left) > MANY:
        depth -= 1
        left = sorted({_cut(pattern, depth) for pattern in left})
    left = _disjoint(left)
    while len(left) > MAX_FILTERS:
        depth -= 1
        left = _disjoint(sorted({_cut(pattern, depth) for pattern in left}))
    return left


def _disjoint(patterns: list[str]) -> list[str]:
    left = _without_covered(patterns)
    while (pair := _overlapping(left)) is not None:
        left = _without_covered(sorted({*(one for one in left if one not in pair), _common(*pair)}))
    return left


def _without_covered(patterns: list[str]) -> list[str]:
    return [one for one in patterns if not any(other != one and covers(other, one) for other in patterns)]


def _overlapping(patterns: list[str]) -> tuple[str, str] | None:
    wild = [one for one in patterns if "*" in one or one.endswith(">")]
    for one in wild:
        for other in patterns:
            if one != other and _overlap(one.split("."), other.split(".")):
                return one, other
    return None


def _overlap(one: list[str], other: list[str]) -> bool:
    for a, b in zip(one, other, strict=False):
        if a == ">" or b == ">":
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(one) == len(other)


def _common(one: str, other: str) -> str:
    """The narrowest pattern with a final > that covers both."""
    shared = []
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b or a == ">":
            break
        shared.append(a)
    return ".".join([*shared, ">"]) if len(shared) >= 2 else EVERYTHING


def _cut(pattern: str, depth: int) -> str:
    tokens = pattern.split(".")
    return pattern if len(tokens) <= depth else ".".join([*tokens[: depth - 1], ">"])
