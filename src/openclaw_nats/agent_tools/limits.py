"""What the operator allows agents: on which subjects they publish, how often, how much they may make."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from openclaw_nats.errors import NotAllowed
from openclaw_nats.events.subjects import (
    AGENTS,
    GATEWAY_OWN,
    SCHEDULED,
    check_nats_subject,
    check_subject,
    matches_any,
)
from openclaw_nats.settings import Settings

_MINUTE = 60.0
_REMEMBERED_AGENTS = 1000


async def _nothing() -> frozenset[str]:
    return frozenset()


@dataclass
class Limits:
    """The settings `agents.*`, and who published when; `scheduled_subjects` are those of the operator's schedules."""

    enabled: bool
    publish: tuple[str, ...]
    publishes_per_minute: int
    max_subscriptions: int
    turns_per_hour: int
    subscription_expires: float
    max_schedules: int
    min_interval: float
    read: str
    requests: tuple[str, ...]
    clock: Callable[[], float] = time.time
    scheduled_subjects: Callable[[], Awaitable[frozenset[str]]] = _nothing
    _published: dict[str, deque[float]] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """The limits that the operator has set."""
        agents = settings.agents
        return cls(
            enabled=agents.tools,
            publish=agents.publish,
            publishes_per_minute=agents.publishes_per_minute,
            max_subscriptions=agents.max_subscriptions,
            turns_per_hour=agents.subscription_turns_per_hour,
            subscription_expires=agents.subscription_expires,
            max_schedules=agents.max_schedules,
            min_interval=agents.min_interval,
            read=agents.read,
            requests=agents.request_subjects,
        )

    def check_enabled(self) -> None:
        """Raise NotAllowed when the operator has switched the tools off."""
        if not self.enabled:
            raise NotAllowed("the operator has switched the tools for agents off (agents.tools)", hint="Ask them.")

    async def check_publish(self, agent: str, subject: object) -> str:
        """A subject that an agent may publish on, or have a job or timer on; raise InvalidSubject or NotAllowed.

        Nothing of an agent's is on a subject of an operator's job or timer, so that nobody takes the one for the other.
        """
        checked = check_subject(subject)
        if matches_any(GATEWAY_OWN, checked):
            raise NotAllowed(
                f"{checked} is for events of the Gateway itself", hint="Use agent.events.custom.<your.name>."
            )
        own = f"{AGENTS}{agent}."
        if matches_any(SCHEDULED, checked) or checked in await self.scheduled_subjects():
            raise NotAllowed(
                f"{checked} is for the operator's cron jobs and timers",
                hint=f"Leave subject out of a job or timer of yours, or use {own}<your.name>.",
            )
        if checked.startswith(AGENTS) and not checked.startswith(own):
            raise NotAllowed(f"{checked} is another agent's", hint=f"Use {own}<your.name> or agent.events.custom.")
        if not matches_any(self.publish, checked):
            raise NotAllowed(
                f"agents may not publish on {checked} here",
                hint="Allowed: " + ", ".join(self.publish) + ". The operator can change agents.publish.",
            )
        return checked

    def count_publish(self, agent: str) -> None:
        """Note a publish; raise NotAllowed when there were too many in the last minute."""
        now = self.clock()
        if agent not in self._published and len(self._published) >= _REMEMBERED_AGENTS:
            self._published.clear()
        times = self._published.setdefault(agent, deque())
        while times and not now - _MINUTE < times[0] <= now:  # also what a clock that was ahead has counted
            times.popleft()
        if len(times) >= self.publishes_per_minute:
            wait = times[0] + _MINUTE - now
            raise NotAllowed(
                f"this agent has published {len(times)} times in the last minute, which is the limit",
                hint=f"Wait {wait:.0f} seconds, or put more into one event.",
            )
        times.append(now)

    def check_request(self, subject: object) -> str:
        """A subject that an agent may send a request to; raise NotAllowed, InvalidSubject for what is no subject."""
        if not self.requests:
            raise NotAllowed(
                "requests are off", hint="The operator can allow subjects: agents.request_subjects in the settings."
            )
        if not isinstance(subject, str) or not matches_any(self.requests, subject):
            raise NotAllowed(
                f"{str(subject)[:80]!r} is not among the subjects for requests",
                hint="Allowed: " + ", ".join(self.requests) + ".",
            )
        return check_nats_subject(subject)
