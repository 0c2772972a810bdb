"""What commands print: plain words and tables for people, JSON for machines, errors in two lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from openclaw_nats.errors import OpenClawNatsError

EXIT_CODES = {
    0: "it worked",
    1: "it failed; the message says why",
    2: "the command line is wrong",
    3: "something that should run is down (`status`), or something is wrong (`doctor`)",
}


def json_option(command: Any) -> Any:
    """The `--json` flag."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def tell(answer: Any, text: str, *, as_json: bool) -> None:
    """What a command has done: the answer for machines, or a line for people."""
    if as_json:
        print_json(answer)
    else:
        step("✓", text)


def step(mark: str, name: str, detail: str = "") -> None:
    """One line of progress: a mark, what, and details."""
    colours = {"✓": "green", "+": "cyan", "!": "yellow", "✗": "red"}
    click.echo(f"{click.style(mark, fg=colours.get(mark))} {name}" + (f": {detail}" if detail else ""))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table, columns as wide as their longest cell."""
    widths = [max(len(str(row[at])) for row in [headers, *rows]) for at in range(len(headers))]
    for row, bold in [(headers, True), *((row, False) for row in rows)]:
        line = "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=bold) if bold else line)


def fail(error: OpenClawNatsError, *, as_json: bool = False) -> NoReturn:
    """Print an error and end with exit code 1."""
    if as_json:
        print_json({"error": str(error), "hint": error.hint})
    click.echo(click.style("Error: ", fg="red") + str(error), err=True)
    if error.hint:
        click.echo(f"Try: {error.hint}", err=True)
    sys.exit(1)
