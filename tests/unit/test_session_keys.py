"""Session keys are folded as OpenClaw 2026.9 folds them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.events.session_keys import folded, is_session_key, split


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("agent:Main:Work", "agent:main:work"),
        ("  agent:main:My Notes ", "agent:main:my notes"),
        ("AGENT:Ops:Telegram:Direct:ABC", "agent:ops:telegram:direct:abc"),
        ("agent:main:matrix:channel:!RoomAbC:Example.org", "agent:main:matrix:channel:!RoomAbC:Example.org"),
        ("Agent:MAIN:Matrix:Group:!AbC", "agent:main:matrix:group:!AbC"),
        (
            "agent:main:matrix:channel:!RoomAbC:Example.org:Thread:$EvAbC",
            "agent:main:matrix:channel:!RoomAbC:Example.org:thread:$EvAbC",
        ),
        ("agent:main:matrix:channel:!A:THREAD:$B:THREAD:$C", "agent:main:matrix:channel:!A:THREAD:$B:thread:$C"),
        ("agent:main:matrix:channel:İA:Thread:$B", "agent:main:matrix:channel:İA:thread:$B"),
        ("agent:main:matrix:direct:@User:Example.org", "agent:main:matrix:direct:@user:example.org"),
        ("agent:main:work:matrix:channel:!AbC", "agent:main:work:matrix:channel:!abc"),
        ("matrix:channel:!AbC", "matrix:channel:!AbC"),
        ("agent:main:signal:group:AbCd+/==", "agent:main:signal:group:AbCd+/=="),
        ("agent:main:Signal:Group:AbC:Thread:XyZ", "agent:main:signal:group:AbC:thread:xyz"),
        ("agent:main:work:signal:group:AbC", "agent:main:work:signal:group:AbC"),
        ("agent:main:xsignal:group:AbC", "agent:main:xsignal:group:abc"),
        ("agent:main:matrix:channel:", "agent:main:matrix:channel:"),
        ("", ""),
    ],
)
def test_case_is_kept_where_openclaw_keeps_it(key: str, expected: str) -> None:
    assert folded(key) == expected


@given(st.text(st.sampled_from("aAbB: :mMİ") | st.characters(), max_size=40) | st.sampled_from(["matrix:channel:"]))
def test_folding_twice_is_folding_once_and_never_fails(text: str) -> None:
    key = f"agent:main:{text}"
    assert folded(folded(key)) == folded(key)


def test_which_texts_are_keys_and_whose() -> None:
    assert is_session_key("agent:main:my notes")
    assert is_session_key("agent:main:" + "x" * 2000)
    assert not is_session_key("agent:main:" + "x" * 2048)
    assert not is_session_key("agent:main:a\nb")
    assert not is_session_key("   ")
    assert split("agent:Ops:matrix:channel:!A") == ("ops", "matrix:channel:!A")
    assert split("agent:ops:") is None
    assert split("agent::x") is None
    assert split("work") is None


@pytest.mark.parametrize(
    "key",
    [
        "agent:main:my notes",
        "agent:main:" + "x" * 420,
        "agent:main:matrix:channel:!RoomAbC",
        "agent:main:signal:group:AbC=",
    ],
)
def test_an_agents_tools_know_every_session_as_its_own(key: str) -> None:
    caller = Caller(agent_id="Main", session_key=key)
    assert caller.session_key == key
    assert caller.maker.may_wake(key)
    assert caller.session_for(None) == {"kind": "session", "sessionKey": key, "agentId": "main"}


def test_the_session_that_all_share_is_an_agents_main_one() -> None:
    assert Caller(session_key="global").session_for("self")["sessionKey"] == "agent:main:main"
