"""TOML and JSON that people wrote: whatever it is, an answer comes soon, and in words."""

from __future__ import annotations

import json
import time
import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.cli import routes_file
from openclaw_nats.cli.schedule_output import json_of
from openclaw_nats.cli.targets import target_of
from openclaw_nats.errors import SettingsError
from openclaw_nats.installer import json5_text
from openclaw_nats.settings import check_value
from openclaw_nats.text_formats import MAX_PARTS, from_json, from_toml

DEEP = "[" * 100_000
# Text, and the words that refuse it.
BOMBS = {
    "arrays": (f"x = {DEEP}", "nested too deeply"),
    "inline tables": ("x = " + "{a=" * 50_000, "nested too deeply"),
    "a dotted key": ("a." * 50_000 + "b = 1", "more than 100 parts"),
    "a dotted key with blanks and quotes": ("\"a\" . 'b'\t. " * 50_000 + "b = 1", "more than 100 parts"),
    "a header": ("[" + "a." * 50_000 + "b]", "more than 100 parts"),
    "a header of a list": ("[[" + "a." * 50_000 + "b]]", "more than 100 parts"),
    "a key in an inline table": ("x = {y = 1, " + "a." * 50_000 + "b = 1}", "more than 100 parts"),
    "digits": ("x = " + "9" * 100_000, "digits"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_words_and_soon(name: str, tmp_path: Path) -> None:
    text, words = BOMBS[name]
    began = time.process_time()
    with pytest.raises(ValueError, match=words):
        from_toml(text)
    path = tmp_path / "routes.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=words):
        routes_file.read(path)
    assert time.process_time() - began < 5


def test_json_that_is_nested_without_end_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        from_json(DEEP)
    with pytest.raises(click.UsageError, match="nested too deeply"):
        json_of(DEEP, "--payload")
    with pytest.raises(click.BadParameter, match="nested too deeply"):
        target_of('{"a":' * 100_000)
    with pytest.raises(SettingsError, match="must be a list: it is nested too deeply"):
        check_value("filter.allow", DEEP)
    path = tmp_path / "routes.json"
    for text, words in (('{"a":' * 100_000, "nested too deeply"), ('{"a":' + "9" * 5000 + "}", "digits")):
        path.write_text(text)
        with pytest.raises(SettingsError, match=words):
            routes_file.read(path)


def test_long_text_that_looks_a_little_like_a_key_is_read_in_no_time() -> None:
    lines = ["a.b " * 50_000, ',"' * 100_000, ",'" * 100_000, "[" + " " * 200_000, ', "\\\\"' * 50_000, "." * 200_000]
    text = "x = '''\n" + "\n".join(lines).replace("'''", "") + "\n'''"
    began = time.process_time()
    assert from_toml(text) == tomllib.loads(text)
    assert time.process_time() - began < 5


def test_keys_of_every_form_are_read_up_to_the_limit() -> None:
    key = ".".join(f"'k{n}'" if n % 2 else f"k{n}" for n in range(MAX_PARTS))
    assert from_toml(f"{key} = 1") == tomllib.loads(f"{key} = 1")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
)


@given(_VALUES)
def test_what_is_right_is_read_as_it_is(value: object) -> None:
    assert from_json(json.dumps(value)) == value


def test_dates_of_toml_are_text_and_a_mark_at_the_beginning_is_none(tmp_path: Path) -> None:
    path = tmp_path / "routes.toml"
    path.write_text(
        '\ufeff[[route]]\nname = "a"\nuntil = 2027-01-01T00:00:00Z\npayload = {d = 1979-05-27, l = [07:32:00]}\n',
        "utf-8",
    )
    (route,) = routes_file.read(path)
    assert route["until"] == "2027-01-01T00:00:00+00:00"
    assert route["payload"] == {"d": "1979-05-27", "l": ["07:32:00"]}
    assert from_json("\ufeff[1]") == from_json(b"\xef\xbb\xbf[1]") == [1]


@pytest.mark.parametrize(
    "text",
    [
        '{"a":{"prompt":"' + '{\\"role\\": 1}\\n' * 20_000,
        "{v:'" + "\\'" * 100_000,
        "{v:x " + "1" * 200_000,
        "{v:x " + "1e" * 100_000,
        "{" + "/*" * 100_000,
        "{" + "// '\n" * 50_000,
        '{"' * 100_000,
    ],
)
def test_a_broken_configuration_of_openclaw_is_refused_soon(text: str) -> None:
    began = time.process_time()
    with pytest.raises(ValueError, match=r"neither|nested"):
        json5_text.decode(text.encode())
    assert time.process_time() - began < 2
