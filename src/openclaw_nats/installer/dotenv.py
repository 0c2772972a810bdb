"""`.env` files by the rules of the npm package `dotenv`, with which OpenClaw reads them."""

from __future__ import annotations

import re
from pathlib import Path

_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[\w.-]+)(?:[ \t]*=[ \t]*|:[ \t]+)"""
    r"""(?P<value>'(?:\\'|[^'])*'|"(?:\\"|[^"])*"|`(?:\\`|[^`])*`|[^#\r\n]*)?"""
    r"""[ \t]*(?:\#[^\r\n]*)?(?=\r?\n|\r|$(?![^\r\n]))""",
    re.MULTILINE | re.VERBOSE,
)


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a `.env` file; of a name that stands twice the last one counts."""
    return {match["name"]: _value(match["value"] or "") for match in _ASSIGNMENT.finditer(_lines(text))}


def read_dotenv(path: Path) -> dict[str, str]:
    """The variables of the file; none when it can't be read."""
    try:
        if not path.is_file():  # reading from a pipe would wait for its writer
            return {}
        return parse_dotenv(path.read_bytes().decode("utf-8", "replace"))
    except OSError:
        return {}


def comment_out(text: str, names: set[str], why: str) -> str:
    """The text with the assignments of `names` made comments, each of their lines, and all else as it was."""

    def replace(match: re.Match[str]) -> str:
        if match["name"] not in names:
            return match[0]
        return "\n".join(f"# {line}" for line in match[0].splitlines()) + f"  ({why})"

    return _ASSIGNMENT.sub(replace, text)


def _lines(text: str) -> str:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _value(written: str) -> str:
    text = written.strip()
    if len(text) > 1 and text[0] in "'\"`" and text[0] == text[-1]:
        inner = text[1:-1]
        return inner.replace("\\n", "\n").replace("\\r", "\r") if text[0] == '"' else inner
    return text
