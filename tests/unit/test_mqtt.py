"""Topics, users and discovery messages for MQTT, as values: what others name never becomes a topic of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import InvalidInput, SettingsError
from openclaw_nats.events.origin import OWNED
from openclaw_nats.events.subjects import covers
from openclaw_nats.keys.topics import check_topic, subject_of
from openclaw_nats.mqtt.discovery import Discovery, slug
from openclaw_nats.mqtt.figures import AgentState
from openclaw_nats.mqtt.users import user_of
from openclaw_nats.service.nats_config import render
from openclaw_nats.settings import changed, load

PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@given(st.text(max_size=80), st.text(max_size=80))
def test_two_names_never_share_a_place(one: str, other: str) -> None:
    assert PLAIN.fullmatch(slug(one))
    assert (slug(one) == slug(other)) == (one == other)
    assert slug(slug(one)) != slug(one) or slug(one) == one  # nobody can take the place of an escaped name


@given(st.dictionaries(st.text(max_size=40), st.builds(AgentState), max_size=5), st.text(max_size=40))
def test_whatever_names_are_each_entity_is_one_and_complete(agents: dict[str, AgentState], gateway: str) -> None:
    found = Discovery(gateway).messages(agents, ["tea", "a.b"])
    documents = [json.loads(text) for topic, text in found.items() if topic.endswith("/config")]
    assert len({one["unique_id"] for one in documents}) == len(documents) == 5 * len(agents) + 2
    for topic in found:
        assert re.fullmatch(r"[A-Za-z0-9_/-]+", topic)


@given(st.text(max_size=30))
def test_a_topic_is_refused_or_reaches_nothing_of_ours(text: str) -> None:
    try:
        subject = subject_of(check_topic(text))
    except InvalidInput:
        return
    for ours in ("agent.>", "key.>", "$JS.>", "$MQTT.>", "_INBOX.>"):
        assert not covers(ours, subject)
        assert not covers(subject, ours)


def test_a_user_may_not_publish_what_is_the_gateways_whatever_its_key_says() -> None:
    user = user_of(LimitedKey("x", ["agent.events.>"], [], "U", "", mqtt=True, topics=["house/+/set"]), b"k" * 32)
    assert (user.publish, user.never, user.hear[0]) == (("agent.events.>", "house.*.set"), OWNED, "house.*.set")
    other = user_of(LimitedKey("x", ["agent.events.>"], [], "V", "", mqtt=True), b"k" * 32)
    assert other.password != user.password
    assert other.hear == ()


def test_a_user_of_the_operators_that_would_be_a_keys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a password")
    values: dict[str, object] = {"nats.user": "openclaw-nats-mqtt", "nats.password_file": str(tmp_path / "password")}
    settings = changed(load(tmp_path, {}), values)
    assert "mqtt" not in render(settings).replace("openclaw-nats-mqtt", "")
    with pytest.raises(SettingsError, match="the name of a user for MQTT"):
        render(changed(settings, {"mqtt.port": 1883}))
