"""The nearest name to one that does not exist: the one place for every "Did you mean …?"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LEAST_ALIKE = 0.5  # 1.0 is the same; below this a guess puzzles more than it helps
_MOST = 2_000  # names that are compared: difflib takes about 10 µs for each


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, whatever its case; empty when none is like it."""
    names = {one.casefold(): one for one in list(known)[:_MOST]}
    found = difflib.get_close_matches(name.casefold()[:200], list(names), 1, _LEAST_ALIKE)
    return names[found[0]] if found else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint for a name that does not exist; `otherwise` (where names can be looked up) when nothing is like it."""
    found = nearest(name, known)
    return f"Did you mean {found}?" if found else otherwise
