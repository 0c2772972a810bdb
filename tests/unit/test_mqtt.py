"""Topics, users and discovery messages for MQTT, as values: what others name never becomes a topic of its own."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import datetime
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openclaw_nats.contract.keys import LimitedKey
from openclaw_nats.errors import InvalidInput, SettingsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import OWNED
from openclaw_nats.events.subjects import covers
from openclaw_nats.inbound.route import Route, compile_route, parse
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.jetstream.connection import Connection as Nats
from openclaw_nats.jetstream.mqtt_kept import MARK, MqttKept, begins, seen
from openclaw_nats.jetstream.options import Options
from openclaw_nats.keys.topics import check_topic, subject_of
from openclaw_nats.mqtt.discovery import Discovery, slug
from openclaw_nats.mqtt.figures import AgentFigures, AgentState
from openclaw_nats.mqtt.users import user_of
from openclaw_nats.service.nats_config import render
from openclaw_nats.settings import changed, load
from openclaw_nats.storage.database import Connection, Database

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


class Book:
    """The routes, as far as figures ask for them."""

    def __init__(self, *routes: Route) -> None:
        self.agents = Agents(("main", "cook"), "main")
        self._routes = {route.id: route for route in routes}

    def all_routes(self) -> list[Route]:
        return list(self._routes.values())

    def get(self, number: int) -> Route | None:
        return self._routes.get(number)


MIDNIGHT = datetime(2026, 3, 10, 0, 0, tzinfo=ZoneInfo("Pacific/Auckland")).timestamp()
ADD = """INSERT INTO dispatches (id, route_id, route, target, body, events, priority, hops, position, state, outcome,
runs, created_at, changed_at) VALUES (?, ?, 'r', ?, '', 1, 5, 0, 1, ?, ?, ?, ?, ?)"""


async def test_a_day_begins_at_midnight_of_the_zone_and_what_can_not_be_read_counts_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "sidecar.db")
    route = compile_route(parse({"name": "r", "pattern": "agent.events.custom.x", "target": "agent:cook:main"}), 7)
    now = MIDNIGHT + 3600
    rows = [
        ("a", 7, '{"kind": "session", "sessionKey": "agent:cook:main"}', "delivered", "ok", 1, MIDNIGHT - 1),
        ("b", 7, '{"kind": "session", "sessionKey": "agent:cook:main"}', "dead", "", 2, MIDNIGHT + 1),
        ("c", 7, '{"kind": "wake", "agentId": "main"}', "sending", "", 1, MIDNIGHT - 90_000),
        ("d", 7, '{"kind": "webhook", "url": "http://x"}', "delivered", "ok", 1, MIDNIGHT + 1),
        ("e", 7, "no JSON", "delivered", "ok", 1, MIDNIGHT + 1),
        ("f", 7, '{"kind": "agent", "agentId": "gone"}', "delivered", "ok", 1, MIDNIGHT + 1),
        ("g", 7, "[1]", "sending", "", 1, MIDNIGHT + 1),
    ]

    def insert(db: Connection) -> None:
        for *row, at in rows:
            db.execute(ADD, (*row, at, at))
        for number, at, cost in (("1", MIDNIGHT - 1, 5.0), ("2", MIDNIGHT + 1, 0.5), ("3", now, 0.25)):
            db.execute("INSERT INTO costs VALUES (?, ?, 7, 0, ?)", (number, at, cost))

    try:
        await database.write(insert)
        book = cast(RouteBook, Book(route))
        found = await AgentFigures(database, book, "Pacific/Auckland", lambda: now).now()
        assert found["cook"] == AgentState(False, 2, 0.75, 0, "failed", format_seconds(MIDNIGHT + 1), "r")
        assert found["main"] == AgentState(busy=True)
        assert set(found) == {"main", "cook"}
        later = await AgentFigures(database, book, "Pacific/Auckland", lambda: now + 86_400).now()
        assert (later["cook"].turns, later["cook"].cost, later["cook"].result) == (0, 0.0, "")
        elsewhere = await AgentFigures(database, book, "UTC", lambda: now).now()
        assert elsewhere["cook"].turns == 3
    finally:
        await asyncio.to_thread(database.close)


def an_event(number: int, body: bytes, *, by_mqtt: bool = True, at: int = 10) -> StoredMessage:
    return StoredMessage(number, "agent.events.custom.x", {MARK: "1"} if by_mqtt else {}, body, at, 0)


def test_an_event_is_found_for_one_message_only() -> None:
    kept = MqttKept(Nats(Options(("nats://127.0.0.1:1",))))
    on = an_event(0, b"ON")
    found = [an_event(1, b"OFF"), an_event(2, b"ON", by_mqtt=False), an_event(3, b"ON", at=4), an_event(4, b"ON")]
    assert kept.take([seen(one) for one in found], on, since=5)  # the fourth
    assert not kept.take([seen(one) for one in found], on, since=5)
    assert kept.take([seen(one) for one in found], on, since=4)  # the third


def test_what_is_missing_and_not_old_is_stored_although_the_stream_begins_later() -> None:
    now = 10**18
    first = "2001-09-09T01:46:40Z"  # 10**18 ns
    whole = {"first_seq": 1, "last_seq": 9, "messages": 9, "first_ts": first}
    assert begins(whole, now) == 0
    assert begins({**whole, "first_seq": 5}, now) == now - 600 * 10**9
    assert begins({**whole, "first_seq": 10, "messages": 0}, now) == now - 600 * 10**9
    assert begins({**whole, "first_seq": 5}, now + 3600 * 10**9) == now
