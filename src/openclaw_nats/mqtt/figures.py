"""What Home Assistant is shown of each agent, worked out from the inbox and the routes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.session_keys import split
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import TURN_KINDS
from openclaw_nats.storage import agent_figures as rows
from openclaw_nats.storage.agent_figures import Result, Whose
from openclaw_nats.storage.database import Database

MOST = 50  # agents, and buttons
BUTTONS = f"{PREFIX}custom.button."
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){0,3}", re.ASCII)
_DAY = 86400.0


@dataclass
class AgentState:
    """One agent now; counts and cost since midnight. `result` is a word, empty while there was none in a day."""

    busy: bool = False
    turns: int = 0
    cost: float = 0.0
    waiting: int = 0
    result: str = ""
    at: str = ""
    route: str = ""


class AgentFigures:
    """Reads them; midnight is that of `zone`."""

    def __init__(self, database: Database, book: RouteBook, zone: str, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._book = book
        self._zone = ZoneInfo(zone)
        self._clock = clock

    async def now(self) -> dict[str, AgentState]:
        """By agent: those that the Gateway has, or while it has said nothing those that routes name."""
        now = self._clock()
        today = datetime.fromtimestamp(now, self._zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
        found = await self._database.read(lambda db: rows.figures(db, today, now - _DAY))
        known = self._book.agents.ids or sorted({one for one in map(self._agent_of, self._book.all_routes()) if one})
        states = {agent: AgentState() for agent in known[:MOST]}
        newest: dict[str, Result] = {}
        for whose, turns in found.turns.items():
            if (state := states.get(self._agent(whose))) is not None:
                state.turns += turns
                state.busy = state.busy or whose in found.busy
        for whose, result in found.results.items():
            agent = self._agent(whose)
            if agent in states and (agent not in newest or result.at > newest[agent].at):
                newest[agent] = result
        for agent, result in newest.items():
            word = "failed" if result.state == "dead" or result.outcome == "error" else result.outcome or "ok"
            states[agent].result, states[agent].at, states[agent].route = word, format_seconds(result.at), result.route
        for number in {*found.waiting, *found.costs}:
            route = self._book.get(number)
            if route is not None and (state := states.get(self._agent_of(route))) is not None:
                state.waiting += found.waiting.get(number, 0)
                state.cost += found.costs.get(number, 0.0)
        return states

    def buttons(self) -> list[str]:
        """What the operator's enabled routes wait for, one subject each: the part after `custom.button.`"""
        found = set()
        for route in self._book.all_routes():
            name = route.pattern.removeprefix(BUTTONS)
            if (
                route.pattern.startswith(BUTTONS)
                and _NAME.fullmatch(name)
                and route.document.enabled
                and route.target.is_turn
                and route.maker is None
                and not route.owner
            ):
                found.add(name)
        return sorted(found)[:MOST]

    def _agent_of(self, route: Route) -> str:
        target = route.target
        return self._agent(Whose(target.kind, target.agent, target.session))

    def _agent(self, whose: Whose) -> str:
        """The agent of a target; empty for one that is no turn."""
        if whose.kind not in TURN_KINDS:
            return ""
        if whose.agent:
            return whose.agent
        parts = split(whose.session)
        return parts[0] if parts is not None else self._book.agents.unnamed
