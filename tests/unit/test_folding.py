"""Sentences in a narrow terminal: folded at blanks; what is there to be copied stays whole."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from openclaw_nats.cli.tables import folded_words

COMMAND = "`openclaw-nats config set stream.max_bytes 256MiB`"


def test_a_command_is_never_broken() -> None:
    text = f"Make room, or keep less: {COMMAND}; {COMMAND}."
    assert folded_words(text, 40) == ["Make room, or keep less:", f"{COMMAND};", f"{COMMAND}."]
    assert folded_words(text, 1000) == [text]
    assert folded_words("", 40) == [""]
    assert folded_words("a `b", 3) == ["a", "`b"]


@given(st.lists(st.sampled_from(["a", "word", "日本語", "🦀🦀", "x" * 30, COMMAND]), min_size=1), st.integers(5, 60))
def test_nothing_is_lost_and_only_single_words_are_wide(words: list[str], width: int) -> None:
    text = " ".join(words)
    lines = folded_words(text, width)
    assert " ".join(lines) == text
    for line in lines:
        assert cell_len(line) <= width or " " not in re.sub(r"`[^`]*`", "", line)
