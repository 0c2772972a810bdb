"""What commands print: plain words and tables for people, JSON for machines, errors in two lines.

Everything goes through `line`, `block` or the JSON functions, and so through `terminal_text`: no command writes to the
terminal by itself (a test reads the source for that), since almost any text may have been written by a publisher.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.terminal_text import escaped_json, plain, to_json

EXIT_CODES = {
    0: "it worked",
    1: "it failed; the message says why",
    2: "bad input: the command line, a file or a setting is wrong, or names what does not exist; repeating can't help",
    3: "something can't be reached or is down (`status`, `fleet`: any part of it); `doctor`: it has found a problem; "
    "`fleet versions`: one is behind",
    130: "interrupted by Ctrl-C, or a question was answered with no",
}
_PATIENCE = 1.0  # seconds of silence
_COLOURS = {"✓": "green", "+": "cyan", "!": "yellow", "✗": "red", "-": "red", "~": "yellow"}


@dataclass(frozen=True)
class Styled:
    """A piece of a line in a colour, where there are colours."""

    text: str
    fg: str | None = None
    bold: bool = False


def json_option(command: Any) -> Any:
    """The `--json` flag."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def print_json(value: Any) -> None:
    """One JSON document on stdout: an answer of the API, or a struct of contract/command_line.py."""
    click.echo(to_json(value, indent=2, default=_fields_of))


def print_json_line(value: Any) -> None:
    """One JSON document on one line; bytes and text are such a document already."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    click.echo(escaped_json(value.rstrip("\r\n")) if isinstance(value, str) else to_json(value, default=_fields_of))
    sys.stdout.flush()


def _fields_of(value: Any) -> Any:
    import msgspec  # not before it is needed: commands start without it

    return msgspec.to_builtins(value)


def line(*parts: str | Styled, err: bool = False, end: bool = True) -> None:
    """One line, whatever is in its parts; a part of it may be `Styled`."""
    colours = use_colours(err=err)
    shown = "".join(_rendered(part, colours=colours) for part in parts)
    click.echo(shown, nl=end, err=err, color=colours)


def verbatim(text: str) -> None:
    """Text for another program, all of it ours: as it is."""
    click.echo(text)


def progress_line(text: str) -> None:
    """A line on stderr that the next one overwrites: only in a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\r{plain(text)}", nl=False, err=True)


@contextmanager
def waiting(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Around something that may take long: after a second of silence it is said what is waited for, on stderr."""
    timer = threading.Timer(_PATIENCE, lambda: None if quiet else line(f"· {what} …", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def block(text: str, *, indent: str = "  ", err: bool = False) -> None:
    """Text of several lines, indented so that no line of it can be taken for one of ours."""
    for one in plain(text, lines=True).split("\n"):
        click.echo(f"{indent}{one}".rstrip(), err=err, color=use_colours(err=err))


def tell(answer: Any, text: str, *, as_json: bool) -> None:
    """What a command has done: the answer for machines, or a line for people."""
    if as_json:
        print_json(answer)
    else:
        step("✓", text)


def step(mark: str, name: str, detail: str = "", *, err: bool = False) -> None:
    """One line of progress: a mark, what, and details; folded at blanks where it is too long for the terminal."""
    words(Styled(mark, fg=_COLOURS.get(mark)), name + (f": {detail}" if detail else ""), err=err)


def words(head: Styled, text: str, *, indent: str = "  ", err: bool = False) -> None:
    """A head and a text, which goes on below itself where it is too long for the terminal."""
    from openclaw_nats.cli.tables import folded_words, room

    first, *rest = folded_words(plain(text), max(20, room() - max(len(head.text) + 1, len(indent))))
    line(head, f" {first}", err=err)
    for more in rest:
        line(f"{indent}{more}", err=err)


def use_colours(*, err: bool = False) -> bool:
    """Whether to colour: only in a terminal, and not against NO_COLOR (https://no-color.org)."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, below: Sequence[str] = ()) -> None:
    """A table that fits the terminal: columns named in `below` go under their row, then long cells are folded."""
    from openclaw_nats.cli.tables import laid_out, room

    for text, bold in laid_out(headers, rows, room(), below):
        line(Styled(text, bold=bold))


def fail(error: OpenClawNatsError, *, as_json: bool = False) -> NoReturn:
    """Print an error and end with its class's exit code."""
    fail_with(str(error), error.hint, error.exit_code, as_json=as_json)


def fail_with(message: str, hint: str, code: int, *, as_json: bool = False) -> NoReturn:
    """Print what went wrong and what to do, a line each, and end with `code`."""
    words(Styled("Error:", fg="red"), message, err=True)
    if hint:
        words(Styled("Try:"), hint, err=True)
    if as_json:
        from openclaw_nats.contract.command_line import CommandError

        with contextlib.suppress(OSError):  # what can't be written may be just that output
            print_json(CommandError(message, hint))
    sys.exit(code)


def _rendered(part: str | Styled, *, colours: bool) -> str:
    if isinstance(part, str):
        return plain(part)
    text = plain(part.text)
    return click.style(text, fg=part.fg, bold=part.bold or None) if colours and (part.fg or part.bold) else text
