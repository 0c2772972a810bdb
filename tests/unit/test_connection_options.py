"""Who we are at NATS, from an address with user and password in it."""

from __future__ import annotations

import pytest

from openclaw_nats.jetstream.options import Options


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        (
            ("nats://me%40x.org:p%3Aa%2Fs%40s@h:1",),
            {"user": "me@x.org", "password": "p:a/s@s", "servers": ["nats://h:1"]},
        ),
        (("nats://u:p@h:1", "tls://u:p@i:2"), {"user": "u", "password": "p", "servers": ["nats://h:1", "tls://i:2"]}),
        (("wss://t%2Fk@h/base",), {"token": "t/k", "servers": ["wss://h/base"]}),
        (("nats://u:p@[::1]:1",), {"user": "u", "password": "p", "servers": ["nats://[::1]:1"]}),
        (("nats://u:p@h", "nats://v:p@i"), {"servers": ["nats://u:p@h", "nats://v:p@i"]}),
        (("nats://h:1",), {"servers": ["nats://h:1"]}),
    ],
)
def test_the_address_says_who_we_are(servers: tuple[str, ...], found: dict[str, object]) -> None:
    arguments = Options(servers).arguments()
    assert {name: value for name, value in arguments.items() if name != "inbox_prefix"} == found


def test_several_users_with_encoded_characters_are_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"nats\.user"):
        Options(("nats://u%40x:p@h", "nats://v:p@i")).arguments()


def test_the_setting_is_stronger_than_the_address() -> None:
    assert Options(("nats://u:p@h",), user="mine", password="x").arguments()["user"] == "mine"
