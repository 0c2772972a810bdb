"""Who calls a tool, and what is its own."""

from __future__ import annotations

import re

from openclaw_nats.contract.plugin import CallerFields
from openclaw_nats.errors import InvalidEvent, NotAllowed
from openclaw_nats.events import trace
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.session_keys import MAX_LENGTH, folded, is_session_key
from openclaw_nats.inbound.target import not_a_session
from openclaw_nats.schedules.document import Origin

_AGENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


class Caller(CallerFields):
    """The agent's run as the plugin reports it, checked."""

    def __post_init__(self) -> None:
        self.agent_id, self.session_key = self.agent_id.lower(), folded(self.session_key)
        self.traceparent = trace.given(self.traceparent)
        if not _AGENT.fullmatch(self.agent_id):
            raise InvalidEvent(f"caller.agentId {self.agent_id[:40]!r} is not an agent's id")
        if self.session_key and not is_session_key(self.session_key):
            raise InvalidEvent(f"caller.sessionKey must be at most {MAX_LENGTH} characters without control characters")
        if not 0 <= self.hops <= 1000 or len(self.session_id) > 200 or len(self.cause) > 200:
            raise InvalidEvent("caller.hops, caller.sessionId or caller.cause is out of range")

    @property
    def maker(self) -> Maker:
        """Who makes what it makes."""
        return Maker(self.agent_id, self.session_key)

    @property
    def is_tainted(self) -> bool:
        """Whether something from outside may have led to the run: also when nobody says that it has not."""
        return self.tainted is not False

    @property
    def mark(self) -> str:
        """How what it makes is marked."""
        return self.maker.mark

    @property
    def said(self) -> str:
        """How the audit log names it."""
        where = f" in {self.session_key}" if self.session_key else ""
        return f"agent:{self.agent_id}{where}" + (" (tainted)" if self.is_tainted else "")

    @property
    def origin(self) -> Origin:
        """Where the events of what it makes come from."""
        return Origin(
            agent=self.agent_id, session=self.session_key, hops=self.hops, cause=self.cause, tainted=self.is_tainted
        )

    def session_for(self, target: object) -> dict[str, str]:
        """A route's target from what the agent asked for; raise NotAllowed for one that is not its own."""
        if isinstance(target, dict):
            target = target.get("sessionKey") or (f"agent:{target['agentId']}" if target.get("agentId") else None)
        if target is None or target in ("", "self", "session"):
            # A key without an agent is that of the one session that all share (session.scope: global).
            target = self.session_key if self.session_key.startswith("agent:") else f"agent:{self.agent_id}:main"
        if not isinstance(target, str):
            raise NotAllowed("target must be text", hint='Leave target out for this session, or use "main".')
        if problem := not_a_session(target):
            raise NotAllowed(problem[0], hint='Leave target out for this session, or use "main" or "isolated".')
        wanted = folded(target)
        if wanted in (f"agent:{self.agent_id}", "isolated"):
            return {"kind": "agent", "agentId": self.agent_id}
        if not wanted.startswith("agent:"):
            wanted = folded(f"agent:{self.agent_id}:{wanted}")
        if not self.maker.may_wake(wanted):
            raise NotAllowed(
                f"target {target[:80]!r} is not a session of this agent's own",
                hint='Leave target out for this session, or use "main" or "isolated" (a turn of its own).',
            )
        return {"kind": "session", "sessionKey": wanted, "agentId": self.agent_id}
