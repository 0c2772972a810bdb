"""Which forms of `Origin` and `Host` are one place, as browsers write them."""

from __future__ import annotations

import pytest

from openclaw_nats.api.dashboard_gate import _is_same


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://host", "host"),
        ("http://host", "host:80"),
        ("http://host:80", "host"),
        ("https://host", "host:443"),
        ("https://host:443", "host"),
        ("http://host", "HOST"),
        ("http://Host.Example", "hOST.eXAMPLE"),
        ("http://host", "host."),
        ("http://host.", "host:80"),
        ("http://[::1]:3104", "[::1]:3104"),
        ("http://[::1]", "[::1]:80"),
        ("http://[FE80::1]:3104", "[fe80::1]:3104"),
        ("http://127.0.0.1:3104", "127.0.0.1:3104"),
        ("http://host:3104", " host:3104 "),
    ],
)
def test_one_place_in_two_forms(origin: str, host: str) -> None:
    assert _is_same(origin, [host])


@pytest.mark.parametrize(
    ("origin", "hosts"),
    [
        ("http://host", ["other"]),
        ("http://host", ["host:81"]),
        ("https://host", ["host:80"]),
        ("http://host", []),
        ("http://host", ["host", "host"]),
        ("http://host", ["user@host"]),
        ("http://user@host", ["host"]),
        ("http://host", ["host/path"]),
        ("http://host", ["host?q"]),
        ("http://host", ["host#f"]),
        ("http://host", ["host:port"]),
        ("http://host", ["host:99999"]),
        ("http://[::1", ["[::1"]),
        ("http://[::1]", ["[::2]"]),
        ("null", ["null"]),
        ("", [""]),
        ("file://host", ["host"]),
        ("http://host..", ["host"]),
        ("http://hosť", ["host"]),
    ],
)
def test_other_places(origin: str, hosts: list[str]) -> None:
    assert not _is_same(origin, hosts)
