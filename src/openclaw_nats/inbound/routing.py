"""Which routes want a subject: an index of the patterns, so that the cost does not grow with the number of routes."""

from __future__ import annotations

from collections.abc import Iterable

from openclaw_nats.events.subjects import EVERYTHING, MAX_TOKENS, covers
from openclaw_nats.inbound.route import Route

MAX_FILTERS = 64
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
    left = set(patterns)
    depth = MAX_TOKENS
    while len(left) > MAX_FILTERS and depth > 2:
        reduced = _without_covered(left)
        if len(reduced) <= MAX_FILTERS:
            break
        depth -= 1
        left = {_cut(pattern, depth) for pattern in reduced}
    left = _without_covered(left)
    while (pair := _overlapping(left)) is not None:
        left = _without_covered((left - set(pair)) | {_common(*pair)})
    return sorted(left)


def _without_covered(patterns: set[str]) -> set[str]:
    """Without those that another one covers. Only a pattern with * has to be compared with all others."""
    starred = [one for one in patterns if "*" in one]
    return {
        one
        for one in patterns
        if not any(prefix in patterns for prefix in _prefixes(one))
        and not any(other != one and covers(other, one) for other in starred)
    }


def _prefixes(pattern: str) -> list[str]:
    """The patterns with a final > and no * that cover it: of `a.b.c` these are `a.>` and `a.b.>`."""
    tokens = pattern.split(".")
    return [".".join([*tokens[:length], ">"]) for length in range(1, len(tokens) - (tokens[-1] == ">"))]


def _overlapping(patterns: set[str]) -> tuple[str, str] | None:
    """Two patterns that have a subject in common; without a * in one of them there is none, once none is covered."""
    for one in patterns:
        if "*" not in one:
            continue
        tokens = one.split(".")
        for other in patterns:
            if one != other and _overlap(tokens, other.split(".")):
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
