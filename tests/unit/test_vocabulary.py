"""One word for one thing: docs and texts that users see use the words of docs/glossary.md, and no retired ones."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from openclaw_nats.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent.parent

# Retired → use. Each is a regular expression, as narrow as it has to be for plain English to pass.
RETIRED = {
    r"anew": "again",
    r"mend(?:s|ed|ing)?": "fix",
    r"told|tells": "report, say, show, explain",
    r"(?:take|takes|taken|took) (?:it |that |this |them )?back": "undo, reset",
    r"broke(?:n)? off|breaks? off": "interrupted, cut off",
    r"beside": "next to, besides",
    r"put right": "correct",
    r"hold(?:s|ing)? up": "delay, block",
    r"under way": "in progress, running",
    r"keeps? still|kept still": "stop responding",
    r"lets? us in": "accepts our sign-in",
    r"talked into": "subverted by prompt injection",
    r"what is over (?:it|them|that)": "the rest",
    r"kept apart|keeps? \w+ \w+ apart": "group by",
    r"what is in effect": "effective settings",
    r"comes? to (?:its|the) end": "finish",
    r"(?:is|are|it|checked|saved|kept|read) whole|no whole": "complete, in full",
    r"gone before (?:it was|they were) seen": "left the stream before this sidecar read it",
    r"gets? nothing at present": "is paused",
    r"not fire until": "pause",
    r"all that are \w+": "all …",
    r"a mistake in openclaw-nats": "a fault in openclaw-nats",
    r"go(?:es)? on by itself": "recovers by itself",
    r"\} attempts": "plural(count, 'attempt')",
}
WORDS = re.compile("|".join(rf"(?<![\w-]){one}(?![\w-])" for one in RETIRED), re.IGNORECASE)
CODE_BLOCK = re.compile(r"```.*?```", re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->|/\*.*?\*/|(?<![:\"'`])//[^\n]*|<style>.*?</style>", re.DOTALL)
SCRIPT = re.compile(r"<script.*?</script>", re.DOTALL)
LITERAL = re.compile(r'"[^"\n]*"|`[^`]*`')
INSERTED = re.compile(r"\$?\{[^{}]*\}")
SQL = re.compile(r"\s*(?:--.*\n\s*)*(?:SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|PRAGMA)\b")


def found(text: str) -> list[str]:
    """The retired words in a text, each with what to use instead."""
    flat = " ".join(text.split())
    return [f"{one[0]!r}: use {_instead(one[0])}" for one in WORDS.finditer(flat)]


def _instead(word: str) -> str:
    return next(use for pattern, use in RETIRED.items() if re.fullmatch(pattern, word, re.IGNORECASE))


def texts(path: Path) -> Iterator[str]:
    """The sentences in a Python file: its text literals but docstrings, SQL and single words (names of fields)."""
    return (text for text in strings(path) if " " in text and not SQL.match(text))


def strings(path: Path) -> Iterator[str]:
    """The text literals of a Python file that are no docstrings; `{}` stands for what an f-string inserts."""
    tree = ast.parse(path.read_text())
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
        if isinstance(node, ast.JoinedStr):
            skipped.update(id(part) for part in node.values)
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            yield node.value


def shown(path: Path) -> str:
    """What a Svelte, TypeScript or JavaScript file can show: its literals, and the text between its tags."""
    text = COMMENT.sub("", path.read_text())
    literals = "\n".join(INSERTED.sub("{}", one) for one in LITERAL.findall(text))
    return f"{literals}\n{INSERTED.sub('', SCRIPT.sub('', text))}" if path.suffix == ".svelte" else literals


def helps(command: click.Command) -> Iterator[str]:
    """Everything that `--help` prints of a command and those below it."""
    yield command.help or ""
    yield command.short_help or ""
    yield from (one.help or "" for one in command.params if isinstance(one, click.Option))
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            one = command.get_command(click.Context(command), name)
            assert one is not None
            yield from helps(one)


PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "plugin").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_documentation_uses_no_retired_word(page: Path) -> None:
    text = page.read_text().replace("`mended`", "")  # a field of `doctor --json`: names are API, and stay
    assert not found(CODE_BLOCK.sub("", text))


def test_help_of_the_command_line_uses_no_retired_word() -> None:
    texts = list(helps(cli))
    assert len(texts) > 100
    assert not [one for text in texts for one in found(text)]


def test_texts_in_the_code_use_no_retired_word() -> None:
    problems = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        problems += [f"{path.relative_to(ROOT)}: {one}" for text in texts(path) for one in found(text)]
    assert not problems, "\n".join(problems)


def test_texts_of_dashboard_and_plugin_use_no_retired_word() -> None:
    problems = []
    files = [*(ROOT / "dashboard" / "src").rglob("*.svelte"), *(ROOT / "dashboard" / "src").rglob("*.ts")]
    for path in sorted([*files, *(ROOT / "plugin").glob("*.js")]):
        problems += [f"{path.relative_to(ROOT)}: {one}" for one in found(shown(path))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    "text",
    [
        "`restart` makes the file anew",
        "doctor mends what it can",
        "This can't be taken back.",
        "A JetStream that keeps still",
        "What is over it is the next turn",
        "{} attempts",
        "NATS lets us in",
        "It is\nwhole",
    ],
)
def test_what_stopped_readers_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    [
        "Tell other agents; recommend, amend and append",
        "limit must be a whole number from 1 to 9",
        "go back to the list; besides, take the back door",
        "a wholesale order, an attempt, 2 attempts",
    ],
)
def test_plain_english_passes(text: str) -> None:
    assert not found(text)


def test_the_glossary_explains_the_words_that_are_easily_mixed_up() -> None:
    page = (ROOT / "docs" / "glossary.md").read_text()
    for word in "event subject spool stream inbox route delivery dispatch turn source seal receipt budget hops".split():
        assert re.search(rf"\*\*{word}\*\*", page), word
    assert re.search(r"`causationid`\*\* \| .*id of the \*\*dispatch\*\*", page)
    for file in ("README.md", "docs/index.md"):
        assert "glossary.md" in (ROOT / file).read_text(), file
