"""`config.toml` changed by commands: what an operator wrote stays, and nothing is written that says something else."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.errors import SettingsError
from openclaw_nats.installer.config_file import set_values
from openclaw_nats.settings import load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


@pytest.mark.parametrize(
    ("before", "values", "after"),
    [
        pytest.param(
            "# mine\n[sidecar]\nport = 1 # why\n\n[filter]\nblock = [\n  'agent.events.a', # one\n]\nallow = []\n",
            {"sidecar.port": "4000", "filter.block": '["agent.events.b"]', "stream.max_age": "1d"},
            '# mine\n[sidecar]\nport = 4000 # why\n\n[filter]\nblock = ["agent.events.b"]\nallow = []\n\n'
            '[stream]\nmax_age = "1d"\n',
            id="comments, order, a list over several lines",
        ),
        pytest.param(
            'nats.url = "nats://a" # x\nnats.managed = false\n[stream]\nreplicas = 1\n',
            {"nats.url": "nats://b", "nats.user": "me"},
            'nats.url = "nats://b" # x\nnats.user = "me"\nnats.managed = false\n[stream]\nreplicas = 1\n',
            id="dotted keys",
        ),
        pytest.param(
            '"sidecar"."port" = 1\n[ gateway ]\n"id" = \'x\'\n',
            {"sidecar.port": "2", "gateway.id": "Küche 🦀"},
            '"sidecar"."port" = 2\n[ gateway ]\n"id" = "Küche 🦀"\n',
            id="quoted keys, unicode",
        ),
        pytest.param(
            'nats = { url = "nats://a", managed = false } # in line\n',
            {"nats.url": "nats://b"},
            'nats = { url = "nats://b", managed = false } # in line\n',
            id="an inline table",
        ),
        pytest.param(
            "# a\r\n[sidecar]\r\nport = 1 # ü\r\n",
            {"sidecar.port": "2", "durability": "interval", "gateway.id": "x"},
            '# a\r\ndurability = "interval"\r\n\r\n[sidecar]\r\nport = 2 # ü\r\n\r\n[gateway]\r\nid = "x"\r\n',
            id="CRLF",
        ),
        pytest.param(
            "[[capture.rules]]\nsubjects = 'agent.events.>'\nmode = 'payload'\n[sidecar]\nport = 1\n",
            {"capture.rules": '[{subjects = "agent.events.a", mode = "metadata"}]'},
            '[capture]\nrules = [{subjects = "agent.events.a", mode = "metadata"}]\n[sidecar]\nport = 1\n',
            id="an array of tables",
        ),
        pytest.param(
            "[[capture.rules]]\nsubjects = 'agent.events.>'\nmode = 'payload'\n",
            {"capture.default": "payload"},
            "[capture]\ndefault = \"payload\"\n[[capture.rules]]\nsubjects = 'agent.events.>'\nmode = 'payload'\n",
            id="beside an array of tables",
        ),
        pytest.param(
            "[sidecar]\n  port = 1\n  # last\n\n\n[nats]\n",
            {"sidecar.host": "::1", "compat": "false"},
            'compat = false\n\n[sidecar]\n  port = 1\n  # last\nhost = "::1"\n\n\n[nats]\n',
            id="a new key at the end of its section, a setting without section before all",
        ),
        pytest.param(
            "[sidecar]\nport=2", {"sidecar.host": "h"}, '[sidecar]\nport=2\nhost = "h"\n', id="no last newline"
        ),
        pytest.param("", {"durability": "interval"}, 'durability = "interval"\n', id="empty"),
    ],
)
def test_what_an_operator_wrote_stays(path: Path, before: str, values: dict[str, str], after: str) -> None:
    path.write_bytes(before.encode())
    assert set_values(path, values)
    assert path.read_bytes().decode() == after
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    load(path.parent, {})
    assert not set_values(path, values)  # it says so already
    assert path.read_bytes().decode() == after


def test_a_new_file_says_what_it_is(path: Path) -> None:
    assert set_values(path, {"sidecar.port": "4000"})
    assert path.read_text().startswith("# Settings of openclaw-nats.")
    assert load(path.parent, {}).sidecar.port == 4000


@pytest.mark.parametrize("before", ["[sidecar]\nport = 1\n", "[sidecar]\nport = 4000 # as asked\n"])
def test_a_wrong_value_changes_nothing(path: Path, before: str) -> None:
    path.write_text(before)
    with pytest.raises(SettingsError):
        set_values(path, {"sidecar.port": "4000", "capture.default": "everything"})
    with pytest.raises(SettingsError, match="no setting"):
        set_values(path, {"sidecar.prot": "4000"})
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (b"[sidecar\n", "is not valid TOML"),
        (b"[sidecar]\nport = 1\nport = 2\n", "is not valid TOML"),
        (b"# \xff\n", "is not UTF-8 text (at byte 3)"),
        (b"sidecar = 1\n", "can't be changed automatically: sidecar is no table"),
        (b"[[sidecar]]\nport = 1\n", "can't be changed automatically: sidecar is no table"),
        (b"x = " + b"[" * 100_000, "is not valid TOML: it is nested too deeply"),
        (b"x = " + b"[" * 300 + b"]" * 300, "can't be changed automatically"),
        (b"a." * 50_000 + b"b = 1", "is not valid TOML: a key has more than 100 parts"),
        (b"x = " + b"9" * 5000, "is not valid TOML"),
    ],
)
def test_a_broken_file_is_told_in_one_line_and_stays(path: Path, before: bytes, words: str) -> None:
    path.write_bytes(before)
    with pytest.raises(SettingsError) as caught:
        set_values(path, {"sidecar.port": "2"})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["config.toml"]


@given(
    st.lists(
        st.sampled_from(
            [
                "# a comment\n",
                "\n",
                "durability = 'interval'\n",
                "sidecar.port = 1\n",
                "[nats]\nmanaged = true # t\n",
                "[gateway]\nid = '''x\ny'''\n",
                "[[capture.rules]]\nsubjects = 'agent.events.>'\nmode = 'payload'\n",
                "[filter]\nallow = [\n 'agent.events.>', # all\n]\n",
                "agents = { tools = true }\n",
            ]
        ),
        unique=True,
    ),
    st.sampled_from(
        [
            ("durability", "always"),
            ("sidecar.port", "4000"),
            ("nats.user", "ü"),
            ("gateway.id", "k"),
            ("capture.default", "payload"),
            ("capture.rules", "[]"),
            ("filter.allow", "agent.events.a"),
            ("agents.read", "all"),
        ]
    ),
)
def test_only_what_was_asked_for_changes(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], change: tuple[str, str]
) -> None:
    path = tmp_path_factory.mktemp("x") / "config.toml"
    path.write_text("".join(parts))
    try:
        wanted = tomllib.loads("".join(parts))
    except tomllib.TOMLDecodeError:
        return
    name, text = change
    section, _, key = name.rpartition(".")
    set_values(path, {name: text})
    found = tomllib.loads(path.read_text())
    value = (found[section] if section else found)[key]
    (wanted.setdefault(section, {}) if section else wanted)[key] = value
    assert found == wanted
    assert str(value).strip("[]'") == text.strip("[]")
