"""`nats_subscribe` and its like: routes that an agent makes for itself, within the operator's limits."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from openclaw_nats.agent_tools.answer import Answer, parameters
from openclaw_nats.agent_tools.caller import Caller
from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.contract import tool_results as results
from openclaw_nats.contract import tools
from openclaw_nats.contract.routes import Flow
from openclaw_nats.errors import InvalidInput, NotAllowed, NotFound
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.subjects import GATEWAY_OWN, check_pattern, covers, matches
from openclaw_nats.inbound.route import Route, to_document
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.settings import parse_duration
from openclaw_nats.storage.routes import StoredRoute


class Subscriptions:
    """Four tools around the route book."""

    def __init__(self, limits: Limits, book: RouteBook, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits
        self._book = book
        self._clock = clock

    async def subscribe(self, caller: Caller, given: object) -> Answer:
        """Make a route to a session of the agent's own; one of the same name that it made is replaced."""
        wanted = parameters(tools.Subscribe, given)
        check_pattern(wanted.pattern)
        name = wanted.name or self._name_for(caller, wanted.pattern)
        old = self._book.find(name)
        if old is not None and not _may_change(caller, old[0]):
            raise NotAllowed(f"there is a route {name[:80]!r} already, and it is not yours", hint="Use another name.")
        makers = [route.maker for route, _ in self._book.every()]
        mine = [one for one in makers if one is not None and one.agent == caller.agent_id]
        if old is None and len(mine) >= self._limits.max_subscriptions:
            raise NotAllowed(
                f"this agent has {len(mine)} subscriptions, which is the limit",
                hint="Remove one with nats_unsubscribe; nats_subscriptions lists them.",
            )
        document = {
            "name": name,
            "pattern": wanted.pattern,
            "target": caller.session_for(wanted.target),
            "flow": self._flow({}, wanted),
            "until": self._until(wanted.expires_in),
            **_given(wanted, "instruction", "payload", "filter", "when", "priority"),
        }
        route, new = await self._book.save(document, caller.mark, tainted=caller.origin.tainted)
        result = self._view(caller, *self._book.named(route.name))
        result.created = new
        result.warning = _warning(wanted.pattern) or UNSET
        return Answer(result)

    async def unsubscribe(self, caller: Caller, given: object) -> Answer:
        """Remove one of its own routes."""
        route, _ = self._own(caller, parameters(tools.Unsubscribe, given).id)
        await self._book.remove(route.name)
        return Answer(results.SubscriptionRemoved(str(route.id), route.name))

    async def update(self, caller: Caller, given: object) -> Answer:
        """Change one of its own routes."""
        wanted = parameters(tools.UpdateSubscription, given)
        route, _ = self._own(caller, wanted.id)
        changes = _given(wanted, "instruction", "payload", "filter", "when", "priority", "enabled")
        if wanted.target is not None:
            changes["target"] = caller.session_for(wanted.target)
        if wanted.debounce is not None or wanted.batch is not None or wanted.max_per_hour is not None:
            changes["flow"] = self._flow(msgspec.to_builtins(route.document.flow or Flow()), wanted)
        if wanted.expires_in is not None:
            changes["until"] = self._until(wanted.expires_in)
        if not changes:
            raise InvalidInput("nothing to change was given", hint="For example enabled, priority, filter or debounce.")
        changed = await self._book.change(route.name, changes, tainted=caller.origin.tainted)
        return Answer(self._view(caller, *self._book.named(changed.name)))

    async def list(self, caller: Caller, given: object) -> Answer:
        """The routes that wake this agent, its own marked so."""
        wanted = parameters(tools.ListSubscriptions, given)
        found = []
        for route, stored in self._book.every():
            own = _may_change(caller, route)
            wakes = route.target.agent == caller.agent_id and (
                caller.maker.owns_session(route.target.session)
                if route.target.kind == "session"
                else caller.maker.plain
            )
            wakes = wakes and (route.maker is None or own)
            if not (own or (route.target.is_turn and wakes)):
                continue
            if wanted.pattern and not (covers(wanted.pattern, route.pattern) or covers(route.pattern, wanted.pattern)):
                continue
            if wanted.target and caller.session_for(wanted.target).get("sessionKey") != route.target.session:
                continue
            found.append(self._view(caller, route, stored))
        return Answer(results.Subscriptions(found, self._limits.max_subscriptions))

    def _own(self, caller: Caller, given: str | int) -> tuple[Route, StoredRoute]:
        text = str(given)
        found = self._book.by_number(int(text)) if text.isascii() and text.isdigit() and len(text) < 15 else None
        found = found or self._book.find(text)
        # What another agent or conversation made is none of this one's business, its being there included.
        if found is None or (found[0].maker is not None and not _may_change(caller, found[0])):
            raise NotFound(f"there is no subscription {text[:80]!r}", hint="nats_subscriptions lists them.")
        if found[0].maker is None:
            raise NotAllowed(
                f"subscription {text[:80]!r} was made by the operator, not by you",
                hint="Ask the operator to change it.",
            )
        return found

    def _name_for(self, caller: Caller, pattern: str) -> str:
        """A name for a route without one: the same for the same pattern, another one for another session."""
        name = f"{caller.agent_id} {pattern}".replace("/", "-")[:128]
        old = self._book.find(name)
        if old is None or _may_change(caller, old[0]):
            return name
        return f"{name[:119]} {hashlib.sha256(caller.mark.encode()).hexdigest()[:8]}"

    def _flow(self, base: dict[str, Any], wanted: tools.Subscribe | tools.UpdateSubscription) -> dict[str, Any]:
        most = self._limits.turns_per_hour
        count = most if wanted.max_per_hour is None else wanted.max_per_hour
        if not 1 <= count <= most:
            raise NotAllowed(f"maxPerHour must be from 1 to {most} here", hint="Use debounce or batch for more events.")
        kept = base.get("rate") if wanted.max_per_hour is None else None
        flow = {**base, "rate": kept or {"count": count, "per": "1h"}}
        if wanted.debounce is not None:
            flow["debounce"] = wanted.debounce
        if wanted.batch is not None:
            flow["batch"] = {"size": wanted.batch}
        return flow

    def _until(self, given: str | None) -> str:
        longest = self._limits.subscription_expires
        try:
            seconds = longest if given is None else parse_duration(given)
        except ValueError as error:
            raise InvalidInput(f"expiresIn must be {error}, not {str(given)[:40]!r}") from None
        if seconds > longest:
            raise NotAllowed(f"a subscription ends after {longest / 86400:g} days at the latest", hint="Renew it then.")
        return format_seconds(self._clock() + seconds)

    def _view(self, caller: Caller, route: Route, stored: StoredRoute) -> results.SubscriptionView:
        document = to_document(route.document)
        yours = _may_change(caller, route)
        keys = ["name", "pattern", "when", "filter", "payload", "priority", "flow", "until"]
        keys += ["instruction"] if yours else []
        shown = {key: document[key] for key in keys if key in document}
        if route.until is not None:
            shown["until"] = format_seconds(route.until)
        target = route.target.session or f"agent:{route.target.agent} (a turn of its own)"
        found = {
            "id": str(route.id),
            **shown,
            "target": target,
            "enabled": route.document.enabled,
            "yours": yours,
            "madeBy": stored.made_by or "operator",
        }
        return msgspec.convert(found, results.SubscriptionView)


def _may_change(caller: Caller, route: Route) -> bool:
    return caller.maker.may_change(route.maker)


def _given(wanted: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in names if getattr(wanted, name) is not None}


def _warning(pattern: str) -> str:
    own = [wide for wide in GATEWAY_OWN if covers(pattern, wide) or matches(wide, pattern.replace("*", "x"))]
    if not own:
        return ""
    return (
        "This pattern also matches what your own runs do: a run that it wakes can wake it again. The loop guard ends "
        "that after a few rounds; a narrower pattern or `when` is better."
    )
