"""A CEL expression as text: where its strings and comments are, so that what lies outside them can be searched.

Strings as the grammar has them (cel-spec, langdef.md, "Syntax"): in one or three quotation marks, raw ones (`r"\\"`)
have no escapes, and `//` begins a comment up to the end of the line.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(
    r"""
    //[^\n]*
    | (?<!\w)[bB]?[rR](?:\"{3}[\s\S]*?\"{3} | '{3}[\s\S]*?'{3} | "[^"\r\n]*" | '[^'\r\n]*')
    | (?:(?<!\w)[bB])?(?:
        \"{3}(?:[^\\]|\\[\s\S])*?\"{3} | '{3}(?:[^\\]|\\[\s\S])*?'{3}
        | "(?:[^"\\\r\n]|\\.)*" | '(?:[^'\\\r\n]|\\.)*'
    )
    """,
    re.VERBOSE,
)
_LOOPS = re.compile(r"\b(?:all|exists|exists_one|map|filter)\b")
_LOOP_CALL = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(")
_PATTERN_CALL = re.compile(r"\bmatches\s*\(")
_CLASSES = re.compile(r"\\[wWdDsSbBpP]")
_FEW = 4
_SHORT = 200


def blanked(source: str) -> str:
    """The expression with a space for each character of its strings and comments."""
    return _LITERAL.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), source)


def strings(source: str, start: int, end: int) -> list[str]:
    """The strings between two places, as they are written."""
    return [found[0] for found in _LITERAL.finditer(source) if start <= found.start() < end and found[0][:2] != "//"]


def may_loop(source: str) -> bool:
    """Whether a macro that goes through a list may be in it: by the word alone, wherever it stands.

    Who wants to hide one from a search must not gain by it; a word that only looks like one costs some speed.
    """
    return bool(_LOOPS.search(source))


def has_nested_loop(bare: str) -> bool:
    """Whether a macro lies inside another; `bare` is the expression of `blanked`."""
    starts = {found.end() for found in _LOOP_CALL.finditer(bare)}
    depth = 0
    inside: list[int] = []
    for index, character in enumerate(bare):
        if character == "(":
            depth += 1
            if index + 1 in starts:
                if inside:
                    return True
                inside.append(depth)
        elif character == ")":
            if inside and inside[-1] == depth:
                inside.pop()
            depth -= 1
    return False


def patterns(source: str, bare: str) -> list[str]:
    """The regular expressions that are written out, each one text alone, as they are written.

    What is put together (`'^' + data.p`) is none: only an event shows what it is.
    """
    found = []
    for call in _PATTERN_CALL.finditer(bare):
        commas, end = [call.end() - 1], len(bare)
        depth = 1
        for index in range(call.end(), len(bare)):
            depth += (bare[index] in "([{") - (bare[index] in ")]}")
            if depth == 0:
                end = index
                break
            if depth == 1 and bare[index] == ",":
                commas.append(index)
        is_method = bare[: call.start()].rstrip().endswith(".")
        if len(commas) == (1 if is_method else 2):
            written = strings(source, commas[-1] + 1, end)
            if len(written) == 1 and not bare[commas[-1] + 1 : end].strip():
                found += written
    return found


def costly_patterns(source: str, bare: str) -> int:
    """How many regular expressions it compiles that may take long: those of an event, or with many classes.

    Each `\\w` is a table of Unicode; `{1000}` copies what stands before it (the interpreter's limit is 10 MiB: 0.3 s).
    """
    return sum(_is_costly(call, source, bare) for call in _PATTERN_CALL.finditer(bare))


def _is_costly(call: re.Match[str], source: str, bare: str) -> bool:
    written = strings(source, call.end(), bare.find(")", call.end()))
    around = bare[call.end() : bare.find(")", call.end())].replace(",", "").strip()
    # Of matches(data.s, 'a') the first part may be anything that is short; anything else may be a pattern.
    if len(written) != 1 or not re.fullmatch(r"[\w.]*", around):
        return True
    if around and not re.match(r"\s*[\w.]+\s*,", bare[call.end() :]):
        return True
    return len(written[0]) > _SHORT or "{" in written[0] or len(_CLASSES.findall(written[0])) > _FEW
