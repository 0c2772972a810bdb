"""Who made an event, a route, a job or a timer, when an agent did: which agent, in which of its sessions.

A session key with three parts (`agent:<id>:<name>`) is plain: the user's own. Those with more belong to conversations
with others (`agent:main:telegram:group:-100`), to subagents and the like: each of them is a maker of its own, and what
one has made and may read is none of the others' business. The agent's main session may manage what all of them made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openclaw_nats.events.session_keys import folded
from openclaw_nats.events.subjects import AGENTS, matches_any

# Of agents without a mark in the event itself: what 0.1.0 wrote, whose agents could not choose these sources.
_OLDER_SOURCE = re.compile(r"openclaw://[^/]*/(?:agent/.+|cron|timer)")
_MARK = re.compile(r"agent:([A-Za-z0-9_-]+)(?: in (.+))?", re.DOTALL)
# Where the Gateway reports conversations, and what did not reach one: without a session nobody knows whose it is.
_CONVERSATIONS = tuple(
    f"agent.events.{kind}.>"
    for kind in ("agent", "approval", "context", "dlq", "llm", "message", "session", "subagent", "tool")
)

# What agents' own jobs and timers tell, here and in versions that gave them no subjects of their own.
_PRIVATE = (*_CONVERSATIONS, f"{AGENTS}>", "agent.events.cron.>", "agent.events.timer.>")


@dataclass(frozen=True)
class Maker:
    """An agent in a session; `session` is empty where it is not known."""

    agent: str
    session: str = ""

    @property
    def mark(self) -> str:
        """How what it makes is marked: `agent:<id> in <session>`."""
        return f"agent:{self.agent}" + (f" in {self.session}" if self.session else "")

    @property
    def plain(self) -> bool:
        """Whether it speaks from a plain session, or from none."""
        return not self.session or self._is_plain(self.session)

    def owns_session(self, session: str) -> bool:
        """Whether what happens in a session is its own: its own session, and from a plain one the other plain ones."""
        return session == self.session or (self.plain and self._is_plain(session))

    def may_wake(self, session: str) -> bool:
        """Whether what it makes may wake a session: its own one, or a plain one of its agent."""
        return session == self.session or self._is_plain(session)

    def may_change(self, other: Maker | None) -> bool:
        """Whether what `other` (None: the operator) made may be read whole and changed by this one."""
        if other is None or other.agent != self.agent:
            return False
        both_plain = self._is_plain(self.session) and self._is_plain(other.session)
        return other.session == self.session or both_plain or self.session == f"agent:{self.agent}:main"

    def may_see(self, gateway: str, event: Mapping[str, Any]) -> bool:
        """Whether an event is its own, nobody's, or published by an agent for whoever listens.

        `event` holds the attributes of a CloudEvent, as far as there are any; `gateway` is the maker's own.
        """
        names = ("gatewayid", "agentid", "sessionkey", "subject")
        of_gateway, agent, session, subject = (str(event.get(name) or "") for name in names)
        if not agent and not session:
            return not matches_any(_CONVERSATIONS, subject)
        if agent_made(event) and not matches_any(_PRIVATE, subject):
            return True
        if agent not in ("", self.agent) or of_gateway not in ("", gateway):
            return False
        if not session:
            return self.plain or not matches_any(_CONVERSATIONS, subject)
        return self.owns_session(folded(session))

    def _is_plain(self, session: str) -> bool:
        parts = session.split(":")
        return len(parts) == 3 and parts[:2] == ["agent", self.agent]


def maker_of(mark: str) -> Maker | None:
    """The maker that a mark names; None for the operator's."""
    found = _MARK.fullmatch(mark)
    return Maker(found[1], found[2] or "") if found is not None else None


def agent_made(event: Mapping[str, Any]) -> str:
    """The mark of the agent that made an event, by what the sidecar itself wrote into it; empty when none did."""
    mark, agent = event.get("madeby"), event.get("agentid")
    if isinstance(mark, str) and mark.startswith("agent:"):
        return mark
    if isinstance(agent, str) and agent and _OLDER_SOURCE.fullmatch(str(event.get("source"))):
        return Maker(agent, str(event.get("sessionkey") or "")).mark
    return ""
