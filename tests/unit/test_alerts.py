"""What alert channels are told, and when, by a clock that the test sets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from openclaw_nats.alerts import conditions as conditions_
from openclaw_nats.alerts.book import ChannelBook, check_channel
from openclaw_nats.alerts.deciding import Condition
from openclaw_nats.alerts.fleet import AWAY_SECONDS, Fleet
from openclaw_nats.alerts.sending import Alerts
from openclaw_nats.audit.trail import Untraced
from openclaw_nats.contract import health as shapes
from openclaw_nats.contract.alerts import AlertChannelChange, AlertChannelRequest
from openclaw_nats.contract.deliveries import DeliveryCounts
from openclaw_nats.contract.routes import QuietHours
from openclaw_nats.errors import InvalidInput, Unavailable
from openclaw_nats.fleet.lease import Claim
from openclaw_nats.fleet.place import Place
from openclaw_nats.service.files import write_private
from openclaw_nats.storage import alerts as rows
from openclaw_nats.storage.database import Database

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()
DEAD = Condition("dead-letters", "dead-letters", "dead letters: 3", "deliveries")
GATEWAY = Condition("gateway", "gateway", "the Gateway can't be reached", "overview")
SECRET_URL = "https://user:pw@hooks.example.org/T0PSECRET/path?token=alsosecret"


class Told:
    """One channel, and what goes on as the test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **wanted: Any) -> None:
        self.now = NOON
        self.wrong: list[Condition] = []
        self.unknown: frozenset[str] = frozenset()
        self.database = Database(folder / "sidecar.db")
        self.folder = folder
        self.wanted = AlertChannelRequest(name="phone", to="http://127.0.0.1:1/x", **wanted)
        self._patch = monkeypatch
        self.alerts = self.open()
        asyncio.run(self.alerts.book.add(self.wanted))

    def open(self) -> Alerts:
        async def health() -> shapes.Health:
            return shapes.Health("up")

        async def leases() -> list[bytes]:
            return []

        self._patch.setattr(conditions_, "conditions", lambda *_: (list(self.wrong), self.unknown))
        book = ChannelBook(self.folder / "alerts.json", write_private, Untraced(), lambda: self.now)
        fleet = Fleet("main", "k", leases, lambda: self.now)
        self.alerts = Alerts(
            book, Untraced(), self.database, health, fleet, "main", "http://h/dashboard/", 0, clock=lambda: self.now
        )
        return self.alerts

    def look(self, after: float, *wrong: Condition, unknown: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """Let time pass and look; the data of the messages that were made by that."""
        before = {one.id for one in self.messages()}
        self.now, self.wrong, self.unknown = self.now + after, list(wrong), unknown
        asyncio.run(self.alerts.look())
        return [json.loads(one.body)["data"] for one in self.messages() if one.id not in before]

    def messages(self) -> list[rows.MessageRow]:
        return self.database.read_now(lambda db: rows.history(db, "phone", 1000))


Make = Callable[..., Told]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[Told] = []

    def one(**wanted: Any) -> Told:
        made.append(Told(tmp_path, monkeypatch, **wanted))
        return made[-1]

    yield one
    for told in made:
        told.database.close()


def keys(items: list[dict[str, Any]]) -> list[str]:
    return [one["key"] for one in items]


def test_alerts_of_one_window_go_in_one_message_with_a_link(make: Make) -> None:
    told = make()
    assert told.look(0, DEAD) == []
    assert told.look(20, DEAD, GATEWAY) == []
    (data,) = told.look(10, DEAD, GATEWAY)
    assert keys(data["raised"]) == ["dead-letters", "gateway"]
    assert data["raised"][0]["link"] == "http://h/dashboard/#/deliveries"
    assert data["title"] == "openclaw-nats main: 2 new alerts"
    assert told.look(1, DEAD, GATEWAY) == []


def test_what_is_over_within_the_window_is_told_to_nobody(make: Make) -> None:
    told = make()
    assert told.look(0, GATEWAY) == []
    assert told.look(10) == []
    assert told.look(1000) == []


def test_what_goes_on_is_told_again_only_after_a_while(make: Make) -> None:
    told = make(again="1h")
    told.look(0, DEAD)
    assert len(told.look(30, DEAD)) == 1
    assert told.look(3599, DEAD) == []
    (data,) = told.look(1, DEAD)
    assert (keys(data["again"]), data["raised"]) == (["dead-letters"], [])
    assert told.look(3599, DEAD) == []


def test_what_is_over_says_so_once_and_comes_back_as_new(make: Make) -> None:
    told = make()
    told.look(0, DEAD)
    told.look(30, DEAD)
    assert told.look(30) == []
    (data,) = told.look(30)
    assert (keys(data["recovered"]), data["raised"], data["again"]) == (["dead-letters"], [], [])
    assert data["recovered"][0]["text"] == DEAD.text
    assert told.look(1000) == []
    told.look(10, DEAD)
    assert keys(told.look(30, DEAD)[0]["raised"]) == ["dead-letters"]


def test_what_comes_back_at_once_was_never_over(make: Make) -> None:
    told = make()
    told.look(0, GATEWAY)
    told.look(30, GATEWAY)
    for _ in range(20):
        assert told.look(25) == []
        assert told.look(25, GATEWAY) == []


def test_of_what_is_not_known_nothing_ends(make: Make) -> None:
    told = make()
    told.look(0, DEAD)
    told.look(30, DEAD)
    for _ in range(5):
        assert told.look(100, unknown=frozenset({"dead-letters"})) == []
    told.look(100)
    assert keys(told.look(31)[0]["recovered"]) == ["dead-letters"]


def test_quiet_hours_hold_everything_back_and_their_end_tells_what_still_is(make: Make) -> None:
    quiet = QuietHours(begin="22:00", to="07:00", timezone="Europe/Amsterdam")
    told = make(quiet_hours=quiet)
    assert told.look(9 * 3600 + 60, DEAD) == [], "22:01 in Amsterdam"
    assert told.look(60, DEAD, GATEWAY) == []
    assert told.look(8 * 3600, DEAD) == [], "06:02"
    assert told.look(57 * 60, DEAD) == [], "06:59"
    (data,) = told.look(60, DEAD)
    assert keys(data["raised"]) == ["dead-letters"], "07:00: the Gateway's was over meanwhile"


def test_a_kind_that_is_not_wanted_is_not_told(make: Make) -> None:
    told = make(without=["gateway"])
    told.look(0, DEAD, GATEWAY)
    assert keys(told.look(30, DEAD, GATEWAY)[0]["raised"]) == ["dead-letters"]


def test_a_restart_repeats_nothing_and_loses_nothing(make: Make) -> None:
    told = make()
    told.look(0, DEAD)
    told.open()
    (data,) = told.look(30, DEAD)
    assert keys(data["raised"]) == ["dead-letters"]
    told.open()
    assert told.look(60, DEAD) == []
    assert len(told.messages()) == 1


def test_a_paused_channel_is_told_when_it_is_resumed(make: Make) -> None:
    told = make()
    asyncio.run(told.alerts.book.change("phone", AlertChannelChange(paused=True)))
    told.look(0, DEAD)
    assert told.look(100, DEAD) == []
    asyncio.run(told.alerts.book.change("phone", AlertChannelChange(paused=False)))
    assert keys(told.look(1, DEAD)[0]["raised"]) == ["dead-letters"]


def test_what_waits_is_bounded_and_the_oldest_goes(make: Make) -> None:
    told = make(again="1m", window="0s")
    for _ in range(rows.MOST_WAITING + 10):
        told.look(61, DEAD)
    waiting = [one for one in told.messages() if one.ended_at is None]
    ended = [one for one in told.messages() if one.ended_at is not None]
    assert (len(waiting), len(ended)) == (rows.MOST_WAITING, 10)
    assert max(one.made_at for one in ended) < min(one.made_at for one in waiting)
    assert ended[0].error.startswith("dropped: too many wait")


def test_a_channel_that_is_gone_leaves_nothing(make: Make) -> None:
    told = make()
    told.look(0, DEAD)
    told.look(30, DEAD)
    asyncio.run(told.alerts.remove("phone"))
    assert told.messages() == []
    asyncio.run(told.alerts.look())
    assert told.database.read_now(rows.conditions) == []


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"to": "ftp://example.org"}, "to"),
        ({"secret": "short"}, "secret"),
        ({"window": "soon"}, "window"),
        ({"again": "1s"}, "again"),
        ({"quiet_hours": QuietHours(begin="22:00", to="22:00")}, "quietHours.from"),
        ({"quiet_hours": QuietHours(begin="22:00", to="07:00", timezone="Nowhere")}, "quietHours.timezone"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_by_its_field(wanted: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_channel(AlertChannelRequest(**({"name": "phone", "to": "https://example.org"} | wanted)))
    assert refused.value.field == field


def report(**more: Any) -> shapes.Health:
    """A health report in which everything is well, but for what is given."""
    found = shapes.Health(
        "up",
        nats=shapes.NatsHealth(True, "", "", "2.12", "", shapes.StreamSize(1, 10, 1, 1), True, []),
        sidecar=shapes.SidecarHealth(True, "", "", "1", 0, "all", []),
        gateway=shapes.GatewayHealth(True, "", "", "1", ""),
        plugin=shapes.PluginHealth(True, "", "", "1", [], [], spool=shapes.SpoolHealth(0, 0, 0.0, 0, 0)),
        delivery=shapes.DeliveryHealth(True, "", "", counts=DeliveryCounts.of({}), approvals=0),
    )
    return msgspec.structs.replace(found, **more)


def found_in(one: shapes.Health, limit: int = 0) -> list[str]:
    return [found.key for found in conditions_.conditions(one, limit, NOON)[0]]


def delivery(**more: Any) -> shapes.Health:
    part = report().delivery
    assert isinstance(part, shapes.DeliveryHealth)
    return report(delivery=msgspec.structs.replace(part, **more))


def test_a_healthy_report_raises_nothing() -> None:
    assert conditions_.conditions(report(), 1000, NOON) == ([], frozenset())


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (delivery(counts=DeliveryCounts.of({"dead": 2})), ["dead-letters"]),
        (delivery(approvals=1), ["approvals"]),
        (delivery(missed=shapes.Missed(5, 5, "2026-11-27T11:00:00Z")), ["missed"]),
        (delivery(missed=shapes.Missed(5, 5, "2026-11-25T11:00:00Z")), []),
        (delivery(inbox=shapes.InboxHealth(9, 10, "", "nearly full")), ["inbox"]),
        (delivery(budgets=[shapes.Budget("turns per day", 10, 7, 0.0)]), []),
        (delivery(budgets=[shapes.Budget("turns per day", 10, 8, 0.0)]), ["budget:turns per day:80%"]),
        (delivery(budgets=[shapes.Budget("route", 1, 1, 9.0, route_id=4)]), []),
        (
            delivery(cost_budgets=[shapes.CostBudget("cost per day", 2.0, 2.0, 0.0)]),
            ["budget:cost per day:80%", "budget:cost per day:100%"],
        ),
        (report(gateway=shapes.GatewayHealth(False, "", "refused", "", "")), ["gateway"]),
        (report(nats=shapes.NatsHealth(False, "", "gone", "", "", None, True, [])), ["nats"]),
        (
            report(plugin=shapes.PluginHealth(True, "", "", "1", ["x"], [], spool=shapes.SpoolHealth(0, 0, 0.0, 2, 1))),
            ["plugin", "spool"],
        ),
        (
            report(sidecar=shapes.SidecarHealth(True, "", "", "1", 0, "all", [shapes.DiskHealth("/d", 1, True, "x")])),
            ["disk:/d"],
        ),
    ],
)
def test_what_is_wrong_is_a_condition(one: shapes.Health, expected: list[str]) -> None:
    assert found_in(one) == expected


def test_a_stream_near_its_limit_is_a_condition() -> None:
    full = shapes.NatsHealth(True, "", "", "2.12", "", shapes.StreamSize(1, 900, 1, 1), True, [])
    assert found_in(report(nats=full), 1000) == ["stream"]
    assert found_in(report(nats=full), 1001) == []
    assert found_in(report(nats=full), 0) == []


def test_no_condition_has_a_secret_a_number_or_somebody_elses_words() -> None:
    words = "SECRET-WORDS"
    breakers = [
        shapes.OpenBreaker(f"webhook {SECRET_URL}", words),
        shapes.OpenBreaker("session agent:main:telegram:31612345678", words),
    ]
    one = delivery(open_breakers=breakers, last_error=words, notes=[words])
    one.gateway = shapes.GatewayHealth(False, "", words, words, words)
    one.nats = shapes.NatsHealth(False, "", words, "", "", None, True, [words])
    one.plugin = shapes.PluginHealth(True, "", words, "1", [words], [words], spool=shapes.SpoolHealth(0, 0, 0.0, 1, 0))
    found, _ = conditions_.conditions(one, 0, NOON)
    text = repr(found)
    assert len(found) == 6
    assert "https://hooks.example.org" in text
    for secret in (words, "T0PSECRET", "alsosecret", "pw@", "31612345678"):
        assert secret not in text


def test_parts_that_are_not_known_are_said_to_be_unknown() -> None:
    part = shapes.DeliveryHealth(False, "", "")
    plugin = shapes.PluginHealth(False, "", "", "", [], [])
    found, unknown = conditions_.conditions(report(delivery=part, plugin=plugin), 0, NOON)
    assert found == []
    assert {"dead-letters", "target", "approvals", "budget", "spool", "plugin"} <= unknown


def test_a_sidecar_whose_lease_is_not_written_any_more_is_away() -> None:
    now = 0.0
    other = Claim("other", Place("i", "h", "b", "/f", "/f/x"), "n", 1, 0.0, 0.0, key="k")
    claims = [other, replace_claim(other, gateway_id="main"), replace_claim(other, gateway_id="foreign", key="x")]

    async def leases() -> list[bytes]:
        if broken:
            raise Unavailable("gone")
        return [*(msgspec.json.encode(one) for one in claims), b"{", b"[]"]

    broken = False
    fleet = Fleet("main", "k", leases, lambda: now)
    assert asyncio.run(fleet.away()) == []
    now = AWAY_SECONDS - 1
    assert asyncio.run(fleet.away()) == []
    now += 1
    assert asyncio.run(fleet.away()) == ["other"]
    claims[0] = replace_claim(other, written=5.0)
    assert asyncio.run(fleet.away()) == [], "it writes again"
    now += AWAY_SECONDS
    broken = True
    assert asyncio.run(fleet.away()) is None
    broken = False
    assert asyncio.run(fleet.away()) == [], "nobody could write while NATS was away"
    claims[0] = replace_claim(other, ended=True)
    now += AWAY_SECONDS
    assert asyncio.run(fleet.away()) == [], "it said that it ends"


def replace_claim(claim: Claim, **more: Any) -> Claim:
    return msgspec.structs.replace(claim, **more)
