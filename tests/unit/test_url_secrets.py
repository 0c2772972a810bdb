"""Secrets in addresses are masked, and survive an edit."""

from __future__ import annotations

import pytest

from openclaw_nats.url_secrets import masked, masked_in, unmasked

ADDRESSES = [
    ("https://user:pass@h.example/x?token=abc&a=1", "https://user:***@h.example/x?token=***&a=1"),
    ("https://u:p@w:d@h.example/", "https://u:***@h.example/"),
    ("https://ghp_token@h.example/x", "https://***@h.example/x"),
    ("nats://u:p%40@h:4222", "nats://u:***@h:4222"),
    ("https://h/p?code=1&sig=%2Fabc#frag", "https://h/p?code=***&sig=***#frag"),
    ("https://h/a?apiKey=k&X-Amz-Signature=s&page=2", "https://h/a?apiKey=***&X-Amz-Signature=***&page=2"),
    ("https://hooks.example/services/T0/B0/XXXXxxxx1111XXXXxxxx1111", "https://hooks.example/services/T0/B0/***"),
    ("https://api.example/bot123456:AAF_abc/sendMessage", "https://api.example/***/sendMessage"),
    ("https://n8n.local/webhook/3f2a8c1e-1234-4bcd-9012-abcdefabcdef", "https://n8n.local/webhook/***"),
]
PLAIN = [
    "http://127.0.0.1:8080/hook",
    "http://[::1]:3/x?key=",
    "https://h/my-long-name-of-a-hook-2026-01-01/v2/x?since=2026-01-01T00:00:00Z&keyboard=us",
    "not an address",
    "",
]


@pytest.mark.parametrize(("url", "shown"), ADDRESSES)
def test_secrets_are_masked_and_come_back(url: str, shown: str) -> None:
    assert masked(url) == shown
    assert masked(shown) == shown
    assert unmasked(shown, url) == url


@pytest.mark.parametrize("url", PLAIN)
def test_addresses_without_secrets_stay_as_they_are(url: str) -> None:
    assert masked(url) == url


def test_an_edit_beside_the_secret_keeps_it() -> None:
    before = "https://user:pass@h.example/x?token=abc&a=1"
    assert (
        unmasked("https://user:***@h.example/y?a=2&token=***", before) == "https://user:pass@h.example/y?a=2&token=abc"
    )


def test_a_secret_is_never_put_into_an_address_of_somebody_else() -> None:
    before = "https://user:pass@h.example/x?token=abc&a=1"
    for url in (
        "https://user:***@evil.example/x?token=***&a=1",
        "http://user:***@h.example/x?token=***&a=1",
        "https://user:***@h.example:8443/x",
        "https://other:***@h.example/x",
        "https://h.example/x?note=***",
    ):
        assert unmasked(url, before) is None


def test_addresses_in_texts_are_masked() -> None:
    text = "connect to https://user:pass@h.example/x failed (nats://a:b@c)"
    assert masked_in(text) == "connect to https://user:***@h.example/x failed (nats://a:***@c)"
