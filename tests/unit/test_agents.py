"""Targets against the agents that the Gateway has: resolved, refused with a suggestion, or accepted unchecked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclaw_nats.errors import InvalidRoute
from openclaw_nats.events.agents import Agents
from openclaw_nats.inbound.budgets import Budgets
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.route import parse
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import not_a_session, parse_target, target_problem
from openclaw_nats.ports import Wake
from openclaw_nats.storage import routes
from openclaw_nats.storage.database import Database

MAIN_ONLY = Agents(ids=("main",), default="main")
RENAMED = Agents(ids=("jarvis",), default="jarvis")
SEVERAL = Agents(ids=("triage", "home"), default="home", main_key="start")
NO_DEFAULT = Agents(ids=("triage", "home"))
GLOBAL = Agents(ids=("main",), default="main", scope="global")
WAKE = {"kind": "wake"}


@pytest.mark.parametrize(
    ("agents", "target", "agent", "session"),
    [
        (Agents(), "main", "main", "agent:main:main"),
        (RENAMED, "main", "jarvis", "agent:jarvis:main"),
        (RENAMED, WAKE, "jarvis", "agent:jarvis:main"),
        (SEVERAL, "main", "home", "agent:home:start"),
        (SEVERAL, "agent:triage:main", "triage", "agent:triage:start"),
        (SEVERAL, "START", "home", "agent:home:start"),
        (SEVERAL, "telegram:direct:7", "home", "agent:home:telegram:direct:7"),
        (SEVERAL, {"kind": "session", "sessionKey": "main", "agentId": "Triage"}, "triage", "agent:triage:start"),
        (GLOBAL, "global", "main", "agent:main:main"),
        (MAIN_ONLY, "agent:main:Matrix:Channel:!AbC", "main", "agent:main:matrix:channel:!AbC"),
        (MAIN_ONLY, "agent:main:My Notes", "main", "agent:main:my notes"),
    ],
)
def test_a_target_leads_where_the_gateway_would_lead_it(
    agents: Agents, target: object, agent: str, session: str
) -> None:
    found = parse_target(target, agents)
    assert (found.agent, found.session) == (agent, session)
    document = parse({"name": "r", "pattern": "agent.events.custom.x", "target": target})
    assert target_problem(document.target, agents) == ("", "")


@pytest.mark.parametrize(
    ("agents", "target", "problem", "hint"),
    [
        (MAIN_ONLY, "mian", "neither main nor", "Did you mean 'main'?"),
        (RENAMED, "jarvis", "is an agent", "agent:jarvis:main"),
        (MAIN_ONLY, "agent:nosuch:main", "no agent 'nosuch'", "Known: main"),
        (RENAMED, {"kind": "agent", "agentId": "jarvsi"}, "no agent 'jarvsi'", "Did you mean 'jarvis'?"),
        (RENAMED, {"kind": "wake", "agentId": "main"}, "no agent 'main'", "Known: jarvis"),
        (NO_DEFAULT, "main", "no default", "agent:triage:main"),
        (NO_DEFAULT, WAKE, "no default", "wake:triage"),
    ],
)
def test_a_target_that_nothing_answers_is_named_with_what_was_meant(
    agents: Agents, target: object, problem: str, hint: str
) -> None:
    found = target_problem(parse({"name": "r", "pattern": "agent.events.custom.x", "target": target}).target, agents)
    assert problem in found[0]
    assert hint in found[1]


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("https://user:secret@example.org/x?token=abc", '{"kind": "webhook"'),
        ("ftp://example.org", '{"kind": "webhook"'),
        ("wake:ops", '{"kind": "wake", "agentId": "ops"}'),
        ("wake", '{"kind": "wake"}'),
        ("subject:agent.events.custom.x", '{"kind": "subject", "subject": "agent.events.custom.x"}'),
        ("main:", "whole key"),
        ("triage:main", "agent:triage:main"),
        ("Triage:alarms", "agent:Triage:alarms"),
        ({"kind": "session", "sessionKey": "wake:ops"}, '{"kind": "wake"'),
    ],
)
async def test_what_is_meant_for_something_else_becomes_no_session(target: object, hint: str, tmp_path: Path) -> None:
    given = parse({"name": "r", "pattern": "agent.events.custom.x", "target": target}).target
    problem, found = target_problem(given, NO_DEFAULT)
    assert hint in found
    assert "secret" not in problem + found
    book = _book(tmp_path)
    if "riage" not in str(target):  # without its agents nobody can know
        with pytest.raises(InvalidRoute, match="target"):
            await book.save(_route(target))


def test_other_keys_are_sessions() -> None:
    for key in ("telegram:group:-100", "agent:triage:hook:https://x", "wakeful", "subjects:x", "agent:triage:wake:x"):
        given = parse({"name": "r", "pattern": "agent.events.custom.x", "target": key}).target
        assert not_a_session(given, NO_DEFAULT) is None, key


class _Stream:
    async def position(self) -> tuple[str, int]:
        return "created", 0


def _book(folder: Path) -> RouteBook:
    book = RouteBook(Database(folder / "sidecar.db"), _Stream(), FlowControl(Budgets((), None), 1000))  # type: ignore[arg-type]
    book.load()
    return book


def _route(target: object, name: str = "r") -> dict[str, object]:
    return {"name": name, "pattern": "agent.events.custom.x", "target": target}


async def test_while_the_gateway_is_away_everything_is_taken_and_marked(tmp_path: Path) -> None:
    book = _book(tmp_path)
    route, _ = await book.save(_route("agent:nosuch:main"))
    assert "not checked" in book.target_note(route)
    await book.follow_gateway(MAIN_ONLY)
    assert "no agent 'nosuch'" in book.target_note(book.named("r")[0])


async def test_a_gateway_that_answers_has_the_last_word(tmp_path: Path) -> None:
    book = _book(tmp_path)
    asked = []

    async def ask() -> bool:
        asked.append(1)
        await book.follow_gateway(Agents(ids=("main", "new"), default="main") if len(asked) > 1 else MAIN_ONLY)
        return True

    book.ask_gateway = ask
    with pytest.raises(InvalidRoute, match="no agent 'new'"):
        await book.save(_route("agent:new:main"))
    await book.save(_route("agent:new:main"))  # it was added meanwhile: what is known is asked for again
    await book.save(_route("main", "other"))
    assert len(asked) == 2
    with pytest.raises(InvalidRoute, match="neither main nor"):
        await book.change("r", {"target": "mian"})
    await book.change("r", {"enabled": False})


async def test_a_new_default_agent_moves_what_names_none_also_after_a_restart(tmp_path: Path) -> None:
    book = _book(tmp_path)
    await book.save(_route("main"))
    await book.follow_gateway(RENAMED)
    assert book.named("r")[0].target.session == "agent:jarvis:main"
    book._database.close()
    assert _book(tmp_path).named("r")[0].target.session == "agent:jarvis:main"


async def test_routes_and_the_routes_of_jobs_and_timers_have_room_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openclaw_nats.inbound.route_book.MAX_ROUTES", 2)
    monkeypatch.setattr("openclaw_nats.inbound.route_book.MAX_WAKES", 3)
    book = _book(tmp_path)
    for number in range(3):
        await book.put_wake(Wake(f"cron/{number}", f"agent.events.cron.{number}", "main", "Look."))
    for name in ("a", "b"):
        await book.save(_route("main", name))
    with pytest.raises(InvalidRoute, match="there are 2 routes already"):
        await book.save(_route("main", "c"))
    with pytest.raises(InvalidRoute, match="there are 3 jobs and timers that wake somebody already"):
        await book.put_wake(Wake("cron/x", "agent.events.cron.x", "main", "Look."))
    await book.save(_route("agent:main:other", "a"))  # what is there is changed as before
    await book.put_wake(Wake("cron/0", "agent.events.cron.0", "main", "Look twice."))


@pytest.mark.parametrize(
    "name",
    [
        "ab\u202edoor",
        "x\x9b31mred",
        "do\u200bor",
        "\u2066x\u2069",
        "a\u2028b",
        "a\U000e0041b",
        "\ufeffdoor",
        "a\ue000b",
    ],
)
async def test_the_name_of_a_new_route_shows_what_it_is_and_older_ones_stay(tmp_path: Path, name: str) -> None:
    book = _book(tmp_path)
    with pytest.raises(InvalidRoute, match="name holds a character that is not seen") as refused:
        await book.save(_route("main", name))
    assert str(refused.value).isprintable()
    for right in ("דלת", "👨\u200d👩\u200d👧", "Tür 3, 中"):
        await book.save(_route("main", right))
    database = Database(tmp_path / "older" / "sidecar.db")
    text = json.dumps(_route("main", name))
    await database.write(lambda db: routes.save(db, name, text, 0, "", 1.0, ""))
    older = RouteBook(database, _Stream(), FlowControl(Budgets((), None), 1000))  # type: ignore[arg-type]
    older.load()
    await older.save(_route("agent:main:other", name))
    assert older.named(name)[0].target.session == "agent:main:other"
