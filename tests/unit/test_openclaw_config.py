"""OpenClaw's configuration is read as OpenClaw reads it: files, references, paths, addresses."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from openclaw_nats.errors import SetupError
from openclaw_nats.installer import openclaw_config
from openclaw_nats.installer.dotenv import comment_out, parse_dotenv
from openclaw_nats.installer.json5_text import decode
from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.openclaw_paths import state_dir


def config_of(folder: Path, text: str | bytes, environment: dict[str, str] | None = None, **files: str) -> Any:
    """The configuration in `openclaw.json` below `folder`; `files` are others beside it (`_` for the dot)."""
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    path = folder / "openclaw.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return openclaw_config.read(path, folder, environment or {})


@pytest.fixture
def openclaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenClaw:
    for name in ("OPENCLAW_GATEWAY_PORT", "OPENCLAW_INCLUDE_ROOTS", "T"):
        monkeypatch.delenv(name, raising=False)
    return OpenClaw("/bin/false", tmp_path, tmp_path / "openclaw.json")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a": "\ud83e\udd80", "\ud83e\udd80": 1}', {"a": "🦀", "🦀": 1}),
        (r"{a: '\ud83e\udd80',}", {"a": "🦀"}),
        (r'{"a": "cut \ud83e"}', {"a": "cut \ufffd"}),
        (r"{a: 'cut \ud83e', b: '\\ud83e', c: '1e999'}", {"a": "cut \ufffd", "b": r"\ud83e", "c": "1e999"}),
        (r"{a: '\udd80\ud83e'} // \ud83e", {"a": "\ufffd\ufffd"}),
        ("\ufeff// note\r\n{\r\n  a: 1, /* two\r\nlines */ 'b': [2,],\r\n}\r\n", {"a": 1, "b": [2]}),
        (
            "{a: 0x1F, b: .5, c: 5., d: +1, e: -Infinity, f: 1e999}",
            {"a": 31, "b": 0.5, "c": 5, "d": 1, "e": -1e999, "f": 1e999},
        ),
        ("{a: 'line\\\ncontinued', $b: 1, ünï: 2, if: 3}", {"a": "linecontinued", "$b": 1, "ünï": 2, "if": 3}),
        ('{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_json5_is_what_javascript_takes(text: str, value: Any) -> None:
    assert decode(text.encode("utf-8")) == value


def test_a_file_that_is_no_json5_is_told_with_its_place_and_without_its_content() -> None:
    for text in ("{a: 'secret-1', \n b: [1, 'secret-2}", "{a: 'secret-1'}\n secret-2", "{'secret-1': 'secret-2' 1}"):
        with pytest.raises(ValueError, match="line") as caught:
            decode(text.encode())
        assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match="deep"):
        decode(b"[" * 100_000)


def test_half_a_megabyte_with_comments_is_read_once_and_in_no_time(openclaw: OpenClaw) -> None:
    agents = [{"id": f"a{at}", "name": f"Agent {at} 🦀", "tools": {"allow": ["read", "exec"]}} for at in range(4000)]
    text = "// mine\n" + json.dumps({"agents": {"list": agents}}, indent=2, ensure_ascii=True) + "\n"
    openclaw.config_path.write_text(text)
    assert len(text) > 500_000
    began = time.process_time()
    first = openclaw.read()
    assert time.process_time() - began < 2  # the pure Python parser takes 20 s
    assert first.values["agents"]["list"][7]["name"] == "Agent 7 🦀"
    assert openclaw.read() is first
    openclaw.config_path.write_text("{gateway: {port: 1234}}")
    assert openclaw.config() == {"gateway": {"port": 1234}}


def test_includes_replace_merge_and_are_overridden_as_openclaw_does_it(tmp_path: Path) -> None:
    found = config_of(
        tmp_path,
        "{hooks: {$include: './hooks.json5'}, tools: {$include: ['a.json', 'b.json'], x: 9},"
        " list: [{$include: 'a.json'}]}",
        hooks__json5="{enabled: true, mappings: {$include: 'a.json'},}",
        a__json='{"x": 1, "deep": {"k": [1], "a": 1}}',
        b__json='{"x": 2, "deep": {"k": [2]}}',
    )
    assert found.values["hooks"] == {"enabled": True, "mappings": {"x": 1, "deep": {"k": [1], "a": 1}}}
    assert found.values["tools"] == {"x": 9, "deep": {"k": [1, 2], "a": 1}}
    assert found.values["list"] == [{"x": 1, "deep": {"k": [1], "a": 1}}]
    whole = config_of(tmp_path, "{$include: './all.json5'}", all__json5="{gateway: {port: 5}}")
    assert whole.values == {"gateway": {"port": 5}}
    assert whole.authored == {"$include": "./all.json5"}
    assert whole.is_current
    (tmp_path / "all.json5").write_text("{gateway: {port: 55}}")
    assert not whole.is_current


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{$include: '../x.json'}", "leads out of"),
        ("{$include: '/etc/passwd'}", "leads out of"),
        ("{$include: 'link.json'}", "leads out of"),
        ("{$include: 'self.json'}", "circular"),
        ("{$include: 'none.json'}", "does not exist"),
        ("{$include: 5}", "name of a file"),
        ("{$include: 'list.json', a: 1}", "must name an object"),
        ("[]", "no object"),
        ("{", "line 1"),
    ],
)
def test_an_include_that_openclaw_would_refuse_is_refused_with_the_reason(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "link.json").symlink_to("/etc/hostname")
    with pytest.raises(SetupError, match=words):
        config_of(tmp_path, text, self__json="{a: {$include: 'self.json'}}", list__json="[1]")


def test_variables_come_from_the_environment_then_from_dotenv_then_from_the_configuration(tmp_path: Path) -> None:
    found = config_of(
        tmp_path,
        "{env: {A: 'config', vars: {B: 'config', C: 'config', D: '${A}'}},"
        " x: ['${A} ${B} ${C}', '$${A}', '${a} $A ${}', '${NONE}!', '${EMPTY}']}",
        {"A": "environment", "EMPTY": ""},
        __env="A=dotenv\nexport B='dotenv' # note\n",
    )
    assert found.values["x"] == ["environment dotenv config", "${A}", "${a} $A ${}", "${NONE}!", "${EMPTY}"]
    assert found.unset == {"NONE", "EMPTY"}


def test_dotenv_files_are_read_by_the_rules_of_the_package_that_openclaw_uses() -> None:
    text = (
        '\ufeffA=1\r\nexport B = "x y" # c\nC=\'q"\'\nD=a#b\n#E=1\nF="a\nb"\nG=\nH: z\nI=a b  \nJ="a\\nb"\nK=`x`\nA=2\n'
    )
    wanted = {"A": "2", "B": "x y", "C": 'q"', "D": "a", "F": "a\nb", "G": "", "H": "z", "I": "a b", "J": "a\nb"}
    assert parse_dotenv(text) == {**wanted, "K": "x"}  # what `dotenv` itself answers
    without = comment_out('A=1\nexport KEY = "a\nb"\nKEY_2=3\n', {"KEY"}, "by us")
    assert parse_dotenv(without) == {"A": "1", "KEY_2": "3"}
    assert without.endswith("\nKEY_2=3\n")


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"HOME": "/home/jörg"}, "/home/jörg/.openclaw"),
        ({"HOME": "/h", "OPENCLAW_HOME": "/srv"}, "/srv/.openclaw"),
        ({"HOME": "/h", "OPENCLAW_HOME": "~/svc"}, "/h/svc/.openclaw"),
        ({"HOME": "/h", "OPENCLAW_HOME": " undefined "}, "/h/.openclaw"),
        ({"HOME": "/h", "OPENCLAW_HOME": "/srv", "OPENCLAW_STATE_DIR": "~/state"}, "/srv/state"),
        ({"HOME": "/h", "OPENCLAW_STATE_DIR": "/a/../b"}, "/b"),
    ],
)
def test_the_state_directory_is_where_openclaw_has_it(environment: dict[str, str], path: str) -> None:
    assert str(state_dir(environment)) == path


@pytest.mark.parametrize(
    ("config", "environment", "url"),
    [
        ("{}", {}, "http://127.0.0.1:18789"),
        ("{gateway: {port: 9, tls: {enabled: true}}}", {}, "https://127.0.0.1:9"),
        ("{gateway: {port: 9, tls: {enabled: 'no'}}}", {"OPENCLAW_GATEWAY_PORT": "77"}, "http://127.0.0.1:77"),
        ("{gateway: 'odd'}", {"OPENCLAW_GATEWAY_PORT": "x"}, "http://127.0.0.1:18789"),
    ],
)
def test_the_gateways_address(openclaw: OpenClaw, config: str, environment: dict[str, str], url: str) -> None:
    openclaw.config_path.write_text(config)
    assert openclaw.gateway_url(environment) == url


def test_the_gateways_certificate_and_the_path_of_its_hooks(openclaw: OpenClaw, tmp_path: Path) -> None:
    assert (openclaw.gateway_certificate(), openclaw.hooks_path()) == ("", "/hooks")
    openclaw.config_path.write_text("{gateway: {tls: {enabled: true}}, hooks: {path: 'automation/in/'}}")
    assert openclaw.gateway_certificate() == str(tmp_path / "gateway" / "tls" / "gateway-cert.pem")
    assert openclaw.hooks_path() == "/automation/in"
    openclaw.config_path.write_text("{gateway: {tls: {enabled: true, certPath: '/c/x.pem'}}}")
    assert openclaw.gateway_certificate() == "/c/x.pem"


@pytest.mark.parametrize(
    ("token", "found"),
    [
        ("'plain'", ("plain", "")),
        ("'${T}'", ("real", "")),
        ("'pre-${T}'", ("pre-real", "")),
        ("'$${T}'", ("${T}", "")),
        ("'${NOT_SET}'", ("", "${NOT_SET}")),
        ("{source: 'env', provider: 'default', id: 'T'}", ("real", "")),
        ("{source: 'file', provider: 'vault', id: '/x'}", ("", "the secret reference file:/x")),
        ("''", ("", "")),
    ],
)
def test_the_effective_hook_token(openclaw: OpenClaw, token: str, found: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("T=real\n")
    openclaw.config_path.write_text(f"{{hooks: {{enabled: true, token: {token}}}}}")
    assert openclaw.hook_token() == found


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe would be read until somebody writes into it."""
    os.mkfifo(tmp_path / "openclaw.json")
    os.mkfifo(tmp_path / ".env")
    with pytest.raises(SetupError, match="is no file"):
        openclaw_config.read(tmp_path / "openclaw.json", tmp_path, {})
