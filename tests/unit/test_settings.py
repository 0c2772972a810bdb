"""Settings: where a value comes from, and what a wrong one is told."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, is_dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.cli.main import cli
from openclaw_nats.errors import SettingsError
from openclaw_nats.settings import (
    REGISTRY,
    Settings,
    changed,
    find,
    format_duration,
    format_size,
    load,
    parse_duration,
    parse_size,
    shown,
    value_of,
)


def test_defaults_are_valid_and_parsed(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert settings.sidecar.port == 3104
    assert settings.stream.max_age == 7 * 86400
    assert settings.stream.max_bytes == 4 << 30
    assert set(settings.origins) == {setting.name for setting in REGISTRY}
    assert set(settings.origins.values()) == {"default"}


def test_the_environment_beats_the_file_and_both_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        'durability = "interval"\n[sidecar]\nport = 4000\n[filter]\nblock = ["agent.events.a"]\n'
    )
    settings = load(tmp_path, {"OPENCLAW_NATS_SIDECAR_PORT": "5000", "NATS_SERVERS": "nats://h:1,nats://i:2"})
    assert settings.sidecar.port == 5000
    assert settings.origins["sidecar.port"] == "OPENCLAW_NATS_SIDECAR_PORT"
    assert settings.nats.url == "nats://h:1,nats://i:2"
    assert settings.durability == "interval"
    assert settings.filter.block == ("agent.events.a",)
    assert settings.origins["durability"] == str(tmp_path / "config.toml")


@pytest.mark.parametrize(
    ("variable", "value", "name", "found"),
    [
        ("OPENCLAW_GATEWAY_URL", "ws://127.0.0.1:18789", "gateway.url", "http://127.0.0.1:18789"),
        (
            "OPENCLAW_GATEWAY_URL",
            "WSS://gateway.example.test/base/?x=1",
            "gateway.url",
            "https://gateway.example.test/base",
        ),
        ("OPENCLAW_GATEWAY_URL", "gateway.example.test", "gateway.url", "http://127.0.0.1:18789"),
        ("OPENCLAW_GATEWAY_URL", "ftp://x y", "gateway.url", "http://127.0.0.1:18789"),
        ("NATS_SERVERS", "h:4222, tls://i", "nats.url", "nats://h:4222,tls://i"),
        ("NATS_SERVERS", "http://h", "nats.url", "nats://127.0.0.1:4222"),
        ("NATS_SIDECAR_URL", "nonsense", "sidecar.url", "http://127.0.0.1:3104"),
    ],
)
def test_variables_of_other_programs_are_understood_or_left_aside_with_the_reason(
    tmp_path: Path, variable: str, value: str, name: str, found: str
) -> None:
    settings = load(tmp_path, {variable: value})
    assert value_of(settings, name) == found
    assert (settings.origins[name] == variable) != any(variable in note for note in settings.notes)
    ours = {variable: value, find(name).variable: "http://h:1" if name != "nats.url" else "nats://h:1"}
    assert load(tmp_path, ours).origins[name] == find(name).variable


def test_nats_servers_counts_until_a_nats_was_chosen(tmp_path: Path) -> None:
    theirs = {"NATS_SERVERS": "nats://theirs:4222"}
    assert load(tmp_path, theirs).nats.managed is False
    for toml in ("managed = true", f'password_file = "{tmp_path}/nats-password"'):
        (tmp_path / "config.toml").write_text(f"[nats]\nurl = 'nats://127.0.0.1:4333'\n{toml}\n")
        settings = load(tmp_path, theirs)
        assert (settings.nats.url, settings.nats.managed) == ("nats://127.0.0.1:4333", True)
        assert any("NATS_SERVERS" in note and "managed" in note for note in settings.notes)
    (tmp_path / "config.toml").write_text("[nats]\nurl = 'nats://a'\nmanaged = false\n")
    assert load(tmp_path, theirs).nats.url == "nats://a"
    assert any("NATS_SERVERS" in note and "nats.url" in note for note in load(tmp_path, theirs).notes)
    assert load(tmp_path, {"NATS_SERVERS": "nats://a"}).notes == ()  # it says the same


def test_settings_can_be_looked_at_before_they_are_saved(tmp_path: Path) -> None:
    wanted = {"nats.url": "nats://h:1", "nats.managed": "false"}
    settings = load(tmp_path, {"NATS_SERVERS": "nats://theirs"}, wanted)
    assert (settings.nats.url, settings.nats.managed) == ("nats://h:1", False)
    assert load(tmp_path, {"OPENCLAW_NATS_NATS_URL": "nats://mine"}, wanted).nats.url == "nats://mine"
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("sidecar = 1", "sidecar"),
        ("[sidecar]\nport = 0", "a port from 1 to 65535"),
        ('[sidecar]\nport = "x"', "'x'"),
        ("[sidecar]\nprot = 1", "sidecar.port"),
        ('[stream]\nmax_age = "7 weeks"', "a duration"),
        ('[capture]\ndefault = "all"', "metadata, payload"),
        ('[[capture.rules]]\nsubjects = "nope"\nmode = "payload"', "subject patterns"),
        ('[filter]\nallow = ["agent.>"]', "subject patterns"),
        ('[redaction]\npatterns = ["("]', "regular expressions"),
        ("[nats]\nurl = 'ftp://x'", "nats://"),
        ("[nats]\nurl = 'nats://h:4222x'", "from 1 to 65535"),
        ("[nats]\nurl = 'nats://h:1,nats://[::1]:70000'", "from 1 to 65535"),
        ("[nats]\nurl = 'nats://h:1/ x'", "without spaces"),
        ("= broken", "not valid TOML"),
    ],
)
def test_a_wrong_setting_names_the_field_and_what_would_be_right(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "config.toml").write_text(toml)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert words in f"{caught.value} {caught.value.hint}"


def test_a_password_in_an_address_is_shown_by_config_get_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(tmp_path))
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "config.toml").write_text("[nats]\nurl = 'nats://a:1,nats://u:PASS@b:2'\n")
    for words in ("config", "config --json", "config set nats.url nats://v:PASS@h:1x"):
        done = CliRunner().invoke(cli, words.split())
        assert "PASS" not in done.output + str(done.exception), words
    assert "PASS" in CliRunner().invoke(cli, ["config", "get", "nats.url"]).output


def test_the_key_is_needed_and_must_be_long(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    with pytest.raises(SettingsError, match="no API key"):
        settings.api_key()
    (tmp_path / "api-key").write_text("short")
    with pytest.raises(SettingsError, match="shorter"):
        settings.api_key()
    (tmp_path / "api-key").write_bytes(b"\xff" * 8)
    with pytest.raises(SettingsError, match="shorter"):
        settings.api_key()
    (tmp_path / "api-key").unlink()
    (tmp_path / "api-key").mkdir()
    with pytest.raises(SettingsError, match="can't be read: is a directory"):
        settings.api_key()


def test_durations_and_sizes() -> None:
    assert [parse_duration(text) for text in ("500ms", "30s", "10m", "2h", "7d")] == [0.5, 30, 600, 7200, 604800]
    assert [parse_size(text) for text in ("10", "1KiB", "256MiB", "4GiB")] == [10, 1024, 256 << 20, 4 << 30]
    for bad in ("", "5", "-1s", "1w", None, 5):
        with pytest.raises(ValueError, match="duration"):
            parse_duration(bad)


def test_every_setting_has_one_variable() -> None:
    variables = [setting.variable for setting in REGISTRY]
    assert len(set(variables)) == len(variables)


@given(st.one_of(st.integers(1, 10_000_000).map(float), st.integers(1, 999).map(lambda n: n / 1000)))
def test_a_duration_is_written_as_it_can_be_read(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(0, 1 << 50))
def test_a_size_is_written_as_it_can_be_read(count: int) -> None:
    assert parse_size(format_size(count)) == count


def test_settings_are_shown_as_they_are_written(tmp_path: Path) -> None:
    settings = load(tmp_path, {"OPENCLAW_NATS_STREAM_MAX_AGE": "36h"})
    names = ("stream.max_age", "spool.max_bytes", "inbox.max_bytes", "filter.allow", "log.level", "compat")
    found = [shown(settings, name) for name in names]
    assert found == ["36h", "256MiB", "1GiB", ["agent.events.>"], "info", True]


def test_each_field_holds_what_its_type_says(tmp_path: Path) -> None:
    """`settings.stream.max_age` is what mypy believes: the declared default, read from text, and what is written."""
    settings = load(tmp_path, {})
    hints = {"": get_type_hints(Settings)} | {
        name: get_type_hints(kind) for name, kind in get_type_hints(Settings).items() if is_dataclass(kind)
    }
    for one in REGISTRY:
        section, _, key = one.name.rpartition(".")
        hint, value = hints[section][key], value_of(settings, one.name)
        assert value in get_args(hint) if get_origin(hint) is Literal else isinstance(value, get_origin(hint) or hint)
        again = one.parse(list(written) if isinstance(written := shown(settings, one.name), list) else written)
        assert (type(again), again) == (type(value), value), one.name
        assert one.help
        assert one.applies


def test_a_name_that_somebody_types_is_looked_up_in_one_place(tmp_path: Path) -> None:
    settings = load(tmp_path, {"OPENCLAW_NATS_STREAM_REPLICAS": "3"})
    assert value_of(settings, "stream.replicas") == settings.stream.replicas == 3
    assert value_of(settings, "durability") == settings.durability
    for name in ("stream", "stream.replica", "home", "notes", "gateway_id", "stream.__class__", ""):
        with pytest.raises(SettingsError, match="no setting"):
            value_of(settings, name)


def test_settings_are_frozen_and_a_change_is_a_new_object(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    with pytest.raises(FrozenInstanceError):
        settings.stream.replicas = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.origins["compat"] = "x"  # type: ignore[index]
    other = changed(settings, {"stream.replicas": 2, "stream.max_bytes": 5, "compat": False})
    assert (other.stream.replicas, other.stream.max_bytes, other.compat) == (2, 5, False)
    assert (settings.stream.replicas, settings.stream.max_bytes, settings.compat) == (1, 4 << 30, True)
    assert other.stream.max_age == settings.stream.max_age
    assert other.nats is settings.nats
