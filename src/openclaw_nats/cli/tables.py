"""Tables that fit a terminal: nothing is cut off, since names and ids are there to be copied."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells

from openclaw_nats.terminal_text import plain

_GAP = "  "
_SHORT = 26  # ids, states and times: they are folded last, since a piece of one is of no use
_NARROW = 12  # long names and texts are folded to this before anything short is
_LEAST = 6  # nothing is folded further
_UNLIMITED = 100_000
_JOINER = "\u200d"
_LONGEST_SIGN = 12  # characters a column: a family of four with their skin tones is 11
_UNREMARKABLE = ("", "-", "operator", "default", "(empty)")  # not worth a line under a row
_WORDS = re.compile(r"\S*`[^`]*`\S*|\S+")
_BREAKS = " .-/:,_"


def room() -> int:
    """The width to keep to: $COLUMNS or the terminal's; without either (a pipe, a file) there is no limit."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return max(20, shutil.get_terminal_size((80, 24)).columns)
    return _UNLIMITED


def folded_words(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns, broken at blanks only: words and `commands` are to be copied."""
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for word in _WORDS.findall(text):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [text]


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` columns, with … where something is missing."""
    return text if cell_len(text) <= width else (_beginning(text, width - 1) if width > 1 else "") + "…"


def _beginning(text: str, width: int) -> str:
    """As much of `text` as fits, at least one character; what is one sign on the screen is not cut."""
    piece = chop_cells(text[: _LONGEST_SIGN * width], width)[0] or text[0]
    at = len(piece)
    while at > 1 and at < len(text) and (text[at - 1] == _JOINER or _continues(text[at])):
        at -= 1
    whole = not (at < len(text) and (text[at - 1] == _JOINER or _continues(text[at])))
    return piece[:at] if whole else piece


def _continues(one: str) -> bool:
    """Whether a character belongs to the one before it: accents, joiners, variants, skin tones."""
    return one == _JOINER or unicodedata.category(one) in ("Mn", "Me", "Mc") or "\U0001f3fb" <= one <= "\U0001f3ff"


def laid_out(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int, below: Sequence[str] = ()
) -> Iterator[tuple[str, bool]]:
    """Yield the table's lines, and whether each is the head.

    As long as it is wider than `width`, the columns named in `below` leave the head one by one, the last first, and
    stand under their row; what is still too wide is folded, the widest column first.
    """
    cells = [[plain(cell) for cell in row] for row in rows]
    shown = list(range(len(headers)))
    widths = [max(cell_len(row[at]) for row in [headers, *cells]) for at in shown]
    for name in reversed(below):
        if _total(widths, shown) > width:
            shown.remove(list(headers).index(name))
    folded = _fold(widths, shown, width)
    yield from ((text, True) for text in _lines([headers[at] for at in shown], folded))
    for row in cells:
        yield from ((text, False) for text in _lines([row[at] for at in shown], folded))
        for at in range(len(headers)):
            if at not in shown and row[at] not in _UNREMARKABLE:
                yield from ((text, False) for text in _under(headers[at], row[at], width))


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[at] for at in shown) + len(_GAP) * (len(shown) - 1)


def _fold(widths: Sequence[int], shown: Sequence[int], width: int) -> list[int]:
    """The widths of the columns that are shown: long ones are made narrower until all fit, then short ones, too."""
    found = [widths[at] for at in shown]
    room_for = width - len(_GAP) * (len(found) - 1)
    for least, longer_than in ((_NARROW, _SHORT), (_LEAST, 0)):
        long = [at for at, one in enumerate(found) if one > longer_than]
        while sum(found) > room_for and any(found[at] > least for at in long):
            widest = max(long, key=found.__getitem__)
            second = max((found[at] for at in long if at != widest), default=least)
            found[widest] -= max(1, min(sum(found) - room_for, found[widest] - max(second, least)))
    return found


def _lines(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    columns = [_folded(cell, width) for cell, width in zip(row, widths, strict=True)]
    for at in range(max(map(len, columns))):
        pieces = [column[at] if at < len(column) else "" for column in columns]
        yield _GAP.join(
            piece + " " * (wide - cell_len(piece)) for piece, wide in zip(pieces, widths, strict=True)
        ).rstrip()


def _under(header: str, cell: str, width: int) -> Iterator[str]:
    head = f"    {header.lower()}: "
    for number, piece in enumerate(_folded(cell, max(_LEAST, width - len(head)))):
        yield (" " * len(head) if number else head) + piece


def _folded(text: str, width: int) -> list[str]:
    """`text` in pieces of at most `width` columns, broken after a blank or a mark where there is one."""
    pieces: list[str] = []
    while cell_len(text) > width:
        piece = _beginning(text, width)
        at = max((piece.rfind(mark) for mark in _BREAKS), default=-1) + 1
        if len(piece) < len(text) and text[len(piece)] == " ":
            at = len(piece)
        if at > len(piece) // 2:
            piece = piece[:at]
        pieces.append(piece.rstrip(" "))
        text = text[len(piece) :].lstrip(" ")
    return [*pieces, text]
