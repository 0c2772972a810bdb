"""No regular expression of ours takes more time than its text is long: each of them, found in the source, is tried.

What a pattern nearly matches is made of its own parts: the beginnings of a text that it matches, again and again.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import re._constants as codes  # type: ignore[import-untyped]
import re._parser as parser  # type: ignore[import-untyped]
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import openclaw_nats

SOURCE = Path(openclaw_nats.__file__).parent
METHODS = ("search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer")
SMALL, LARGE = 1 << 12, 1 << 14
# Where the text is short, or of the operator's own files and environment, whose author waits for it.
NOT_OTHERS = {
    "contract.checking": "a message of msgspec's, cut to 4,000 characters",
    "schedules.document line": "a delay that is a duration, of at most 100 characters",
    "installer.setup": "the operator's nats.url",
    "foreign_variables": "the environment of the operator's shell",
    "gateway.tls": "certificates of the operator's files",
    "installer.json5_text": "OpenClaw's configuration",
    "installer.dotenv": "OpenClaw's .env",
    "installer.node_version": "what node and npm say",
    "migration.older": "OpenClaw's .env",
    "demo.scripted_model": "the demo's own prompts",
}


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages([str(SOURCE)], "openclaw_nats."):
        if not found.ispkg and not found.name.endswith("__main__"):
            yield found.name


def patterns() -> Iterator[tuple[str, re.Pattern[Any], str]]:
    """(where it is, the pattern, how it is used) for each regular expression in the source."""
    for name in modules():
        short = name.removeprefix("openclaw_nats.")
        path = SOURCE / Path(*short.split(".")).with_suffix(".py")
        text = path.read_text()
        if "re." not in text:
            continue
        for variable, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern) and re.search(rf"(?m)^{variable}\b.*=", text):
                used = re.findall(rf"\b{variable}\.({'|'.join(METHODS)})\(", text)
                for method in sorted(set(used)) or ["search"]:
                    yield f"{short} {variable}.{method}", value, method
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {f"re.{method}" for method in METHODS}:
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    method = ast.unparse(node.func).removeprefix("re.")
                    yield f"{short} line {node.lineno} {method}", re.compile(first.value), method


def sample(parts: Any) -> str:
    """A text that a parsed pattern matches, more or less."""
    found = ""
    for code, value in parts:
        if code is codes.LITERAL:
            found += chr(value)
        elif code in (codes.NOT_LITERAL, codes.ANY):
            found += "a" if value != ord("a") else "b"
        elif code is codes.IN:
            found += _one_of(value)
        elif code is codes.BRANCH:
            found += sample(value[1][-1])
        elif code in (codes.SUBPATTERN,):
            found += sample(value[-1])
        elif code is codes.ATOMIC_GROUP:
            found += sample(value)
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            found += sample(value[2]) * max(1, min(value[0], 40))
        elif code in (codes.ASSERT,):
            found += sample(value[1])
    return found


def _one_of(choices: Any) -> str:
    if choices[0][0] is codes.NEGATE:
        taken = {value for code, value in choices if code is codes.LITERAL}
        return next(one for one in "a0 .-b" if ord(one) not in taken)
    code, value = choices[0]
    if code is codes.LITERAL:
        return chr(value)
    if code is codes.RANGE:
        return chr(max(value[0], 32))
    return {codes.CATEGORY_DIGIT: "0", codes.CATEGORY_SPACE: " ", codes.CATEGORY_WORD: "a"}.get(value, "a")


def units(pattern: re.Pattern[Any]) -> list[str]:
    """What is repeated: beginnings of what it matches, and single characters of it."""
    text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    whole = sample(parser.parse(text, pattern.flags & ~re.UNICODE))[:60]
    step = max(1, len(whole) // 12)
    beginnings = [whole[:end] for end in range(1, len(whole) + 1, step)]
    return list(dict.fromkeys([*beginnings, *sorted(set(whole))[:12], " ", "a", "0", "\\", '"', "a "]))


def seconds(pattern: re.Pattern[Any], method: str, unit: str, size: int) -> float:
    text: Any = unit * (size // len(unit)) + "\n!"
    if isinstance(pattern.pattern, bytes):
        text = text.encode("latin-1", "replace")
    arguments = (b"" if isinstance(text, bytes) else "", text) if method.startswith("sub") else (text,)
    began = time.process_time()
    found = getattr(pattern, method)(*arguments)
    if method == "finditer":
        list(found)
    return time.process_time() - began


ALL = list(patterns())


def test_all_of_them_are_found() -> None:
    calls = sum(
        len(re.findall(r"\bre\.(?:compile|" + "|".join(METHODS) + r")\(", p.read_text())) for p in SOURCE.rglob("*.py")
    )
    assert len(ALL) >= calls * 0.8, "the rest have parts that are worked out"


@pytest.mark.parametrize(("pattern", "method"), [one[1:] for one in ALL], ids=[one[0] for one in ALL])
def test_its_time_grows_with_the_text_alone(
    pattern: re.Pattern[Any], method: str, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.id.startswith(tuple(NOT_OTHERS)):
        return
    for unit in units(pattern):
        small = max(min(seconds(pattern, method, unit, SMALL) for _ in range(2)), 0.001)
        large = seconds(pattern, method, unit, LARGE)
        if large > 9 * small:  # 4 times the text: its square is 16 times
            again = min(seconds(pattern, method, unit, LARGE) for _ in range(2))
            assert again < 9 * small, f"{unit!r} again and again takes the square of its length"
