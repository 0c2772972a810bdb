"""Nothing that others wrote reaches a terminal as more than text, and tables fit it."""

from __future__ import annotations

import ast
import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from openclaw_nats.cli.tables import laid_out, shortened
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plain, to_json

CLI = Path(__file__).resolve().parents[2] / "src" / "openclaw_nats" / "cli"
HARMFUL = [
    "\x1b[2J",
    "\x07",
    "\r",
    "\x7f",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\u00ad",
    "\ud800",
]


@pytest.mark.parametrize("text", [*HARMFUL, "\ud800", "\U000e0041", "\u3164", "\u115f", "\ue000"])
def test_what_is_no_text_is_shown_as_an_escape(text: str) -> None:
    assert plain(f"a{text}b").isascii()
    assert plain(f"a{text}b").isprintable()


@given(st.text())
def test_every_text_becomes_printable_and_stays_one_line(text: str) -> None:
    kinds = {unicodedata.category(one) for one in plain(text)} - {"Zs"}
    assert not {one for one in kinds if one[0] in "CZ"} - {"Cf"}
    assert "\n" not in plain(text)
    assert plain(plain(text)) == plain(text)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)))
def test_json_stays_the_same_document(value: object) -> None:
    shown = to_json(value, indent=2)
    assert json.loads(shown) == value
    assert not {"\x7f", "\x9b", "\u202e", "\u200b"} & set(shown)


def test_what_people_write_stays_as_it_is() -> None:
    for text in ("jörg", "naïve café", "日本語のルート", "👨‍👩‍👧 🦀 👍🏽 ❤️", "Ελληνικά", "עברית", "e\u0301"):
        assert plain(text) == text


def test_lines_stay_where_they_are_wanted() -> None:
    assert plain("a\n\tb\x1b[0m\rc", lines=True) == "a\n    b\\x1b[0m\\rc"
    assert plain("a\nError: forged") == "a\\nError: forged"


def test_long_text_takes_no_longer_than_its_length() -> None:
    began = time.perf_counter()
    for text in ("\x1b" * 200_000, "\ufe0f\u200d" * 100_000, "ö" * 200_000, "e" + "\u0301" * 200_000):
        plain(text)
    assert time.perf_counter() - began < 10


def test_commands_print_by_one_module_only() -> None:
    """`output` sanitises; a command that printed by itself would bring foreign text to the terminal as it is."""
    for file in CLI.rglob("*.py"):
        if file.name == "output.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                assert name not in ("print", "click.echo", "click.secho", "sys.stdout.write"), f"{file.name}: {name}"
                assert not name.startswith(("sys.stdout.buffer", "sys.stderr.write")), f"{file.name}: {name}"


ROWS = [
    ["12", "failed", "a-route", "custom.door.back.and.more.tokens.than.fit", "2026-11-26T04:52:23Z", "why " * 60],
    ["123456", "pending", "人名の長いルート" * 6, "x" * 300, "2026-11-26T04:52:23Z", ""],
    ["7", "sending", "a\x1b[2Jb", "one", "2026-11-26T04:52:23+01:00", "\u202e" * 50],
]


@pytest.mark.parametrize("width", [200, 80, 60, 40])
def test_tables_fit_and_lose_nothing(width: int) -> None:
    lines = [text for text, _ in laid_out(["ID", "STATE", "ROUTE", "SUBJECT", "SINCE", "WHY"], ROWS, width, ["WHY"])]
    assert max(map(cell_len, lines)) <= width
    whole = "".join(lines).replace(" ", "")
    assert whole.count("why") >= 60
    assert whole.count("x") >= 300
    assert whole.count("人") == 6


def test_what_is_one_sign_is_not_cut() -> None:
    """Half of one would be shown as an escape, which is wider than what was measured."""
    for text in ("👨‍👩‍👧🦀👍🏽" * 8, "e\u0301" * 60, "❤️" * 40, "人\u0301" * 30, "\u0301" * 50):
        for width in range(1, 14):
            lines = [one for one, _ in laid_out(["A", "B"], [[text, "x"]], width + 3)]
            assert "".join(lines[1:]).replace(" ", "").replace("x", "") == plain(text)
            assert plain("\n".join(lines), lines=True) == "\n".join(lines), "nothing more is escaped when it is printed"
            short = shortened(plain(text), width)
            assert plain(short) == short


def test_a_table_with_room_has_one_line_a_row() -> None:
    assert len(list(laid_out(["A", "B"], [["1", "x"], ["2", "y" * 300]], 1000, ["B"]))) == 3


def test_ids_are_not_folded_at_80_columns() -> None:
    lines = [text for text, _ in laid_out(["ID", "STATE", "ROUTE", "SUBJECT", "SINCE", "WHY"], ROWS, 80, ["WHY"])]
    assert any(line.startswith("123456  pending") for line in lines)
    assert any("2026-11-26T04:52:23+01:00" in line for line in lines)


def test_shortened_text_says_so() -> None:
    assert shortened("日本語", 6) == "日本語"
    assert shortened("日本語の", 6) == "日本…"
    assert shortened("abc", 2) == "a…"


def test_times_have_a_zone_and_can_be_given_back() -> None:
    assert moment("2026-07-01T10:00:00.123Z", "Europe/Berlin") == "2026-07-01T12:00:00+02:00"
    assert moment("2026-07-01T10:00:00Z", "UTC") == "2026-07-01T10:00:00Z"
    assert moment("") == "-"
    assert moment("no time") == "no time"
