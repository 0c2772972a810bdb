"""The file of `openclaw-nats receive`: what is wrong in it is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.keys.making import new_secret
from openclaw_nats.service.receiver_file import read

GOOD = """listen = "127.0.0.1:8480"
[nats]
url = "nats://127.0.0.1:4222"
key = "vps"
key_file = "vps.key"
[[source]]
name = "gh"
type = "github"
secret_file = "gh.secret"
[[source]]
name = "pay"
type = "stripe"
secret_file = "pay.secret"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    files = {"vps.key": new_secret()[0], "gh.secret": "a-secret", "pay.secret": "b-secret", "empty.secret": " "}
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "open.secret").write_text("a-secret")
    (tmp_path / "open.secret").chmod(0o644)
    (tmp_path / "receive.toml").write_text(GOOD)
    return tmp_path / "receive.toml"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('listen = "127.0.0.1', 'listen = "0.0.0.0'), "plain_http"),
        (('listen = "127.0.0.1', 'listen = "[::]'), "plain_http"),
        (("[nats]", 'tls_key = "x"\n[nats]'), "tls_certificate"),
        (('key = "vps"\n', ""), "key"),
        (('key = "vps"\n', 'key = "VPS *"\n'), "VPS"),
        (("vps.key", "nothing.key"), "nothing.key"),
        (("vps.key", "gh.secret"), "no limited key"),
        (("nats://", "http://"), "nats.url"),
        (('type = "github"', 'type = "unsigned"'), "nothing that proves nothing"),
        (('type = "github"', 'type = "githup"'), "github"),
        (('name = "pay"', 'name = "gh"'), "twice"),
        (("gh.secret", "open.secret"), "chmod 600"),
        (("gh.secret", "empty.secret"), "empty"),
        (('name = "gh"', 'name = "gh"\nsubject = "cron.x"'), "cron"),
        (('name = "gh"', 'name = "gh"\nmore = 1'), "more"),
        (("[nats]", "unknown = 1\n[nats]"), "unknown"),
        (("[nats]", "[nats"), "TOML|at line|line"),
        (("[nats]", 'public_url = "bus.example"\n[nats]'), "public_url"),
        (("[nats]", "max_connections = 1\n[nats]"), "max_connections"),
    ],
)
def test_what_is_wrong_is_named(file: Path, change: tuple[str, str], says: str) -> None:
    assert change[0] in GOOD
    file.write_text(GOOD.replace(*change))
    with pytest.raises(OpenClawNatsError) as caught:
        read(file)
    assert re.search(says, f"{caught.value} {caught.value.hint}"), caught.value
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "address"),
    [
        ("", "http://127.0.0.1:8480"),
        ('public_url = "https://hooks.example.org/"\nlisten = "0.0.0.0:80"\n', "https://hooks.example.org"),
        ('listen = "0.0.0.0:8480"\nplain_http = true\n', "http://0.0.0.0:8480"),
        ('listen = "[::1]:8480"\n', "http://[::1]:8480"),
        ('listen = "0.0.0.0:443"\ntls_certificate = "c.pem"\ntls_key = "k.pem"\n', "https://0.0.0.0:443"),
    ],
)
def test_it_leaves_loopback_by_tls_behind_a_proxy_or_when_told(file: Path, change: str, address: str) -> None:
    file.write_text(change + (GOOD.partition("\n")[2] if "listen" in change else GOOD))
    found = read(file)
    assert found.address == address
    assert [one.subject for one in found.sources] == ["agent.events.webhook.gh", "agent.events.webhook.pay"]
    assert found.nats.inbox_prefix == "_INBOX.vps"
