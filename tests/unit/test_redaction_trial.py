"""Patterns for secrets are tried when they are set: what may take for ever is refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from openclaw_nats.cli.main import cli
from openclaw_nats.errors import SettingsError
from openclaw_nats.outbound.redaction_trial import check_patterns, texts

GOOD = (
    r"ACME-\d{4}",
    r"\bkey-[A-Za-z0-9]{16,}\b",
    r"(?i)\bpin\s{0,3}[:=]\s{0,3}\d{4,8}",
    r"(?:AB|CD)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}",
    r"(?<=token )[^\s]{8,64}",
    r"🔑[\w-]{4,20}",
    r"(?P<a>x)\d++",
)
BAD = (
    r"(a+)+b",
    r"(\d+)*x",
    r"KEY-(\w+)+!",
    r"(ab|a|b)+c",
    r"([a-zA-Z]+)*$X",
    r"(x|y)(\s*\s*\s*)*z",
    r"\w+\w+\w+@",
)


def test_patterns_of_every_day_are_taken() -> None:
    check_patterns(GOOD)


@pytest.mark.parametrize("pattern", BAD)
def test_a_pattern_without_end_is_refused_in_one_line(pattern: str) -> None:
    with pytest.raises(SettingsError, match=r"redaction\.patterns: .* takes too long") as told:
        check_patterns([pattern])
    assert "\n" not in str(told.value)
    assert told.value.hint


@pytest.mark.parametrize("pattern", ["", "x*", "(?=a)", "a?|b"])
def test_a_pattern_that_matches_nothing_at_all_is_refused(pattern: str) -> None:
    if re.compile(pattern).match(""):
        with pytest.raises(SettingsError, match="matches nothing at all"):
            check_patterns([pattern])


@pytest.mark.parametrize("pattern", [*GOOD, *BAD, r"(?s:.)*", r"[^\W\d_]+", r"(?i:é|ü)+", r"(a)(?(1)b|c)+", r"\1?(a)"])
def test_texts_can_be_made_for_every_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error:
        return
    assert all(len(text) <= 70_000 for text in texts(pattern))


def test_config_set_refuses_it_in_one_line_and_keeps_what_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path))
    for value, word in (("x*", "matches nothing at all"), ('["("]', "unterminated"), ('["(a+)+b"]', "too long")):
        done = CliRunner().invoke(cli, ["config", "set", "redaction.patterns", value])
        assert done.exit_code != 0
        assert word in str(done.exception) + done.output
        assert not (tmp_path / "nats" / "config.toml").exists()
    done = CliRunner().invoke(cli, ["config", "set", "redaction.patterns", r'["(?i)acme-\\d{4}"]'])
    assert done.exit_code == 0, done.output
    assert "acme" in (tmp_path / "nats" / "config.toml").read_text()
