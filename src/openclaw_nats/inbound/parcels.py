"""What a dispatch is to its target: the target as it is kept with it, and the request that is made of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from openclaw_nats.contract.plugin import Grant, RunPolicy
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.origin import OPERATOR, OUTSIDE, Origin
from openclaw_nats.events.session_keys import GLOBAL
from openclaw_nats.inbound.after_cage import after_cage, what_it_may
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.target import UNKNOWN, Target, target_from
from openclaw_nats.ports import Parcel
from openclaw_nats.storage.rows import Dispatch

_HOW = (
    "trusted",
    "confirm",
    "text",
    "instruction",
    "traceparents",
    "madeBy",
    "origin",
    "tainted",
    "tools",
    "guard",
    "guarded",
)


def target_document(
    route: Route, traceparents: Sequence[str], by_agents: str, origin: Origin = OUTSIDE, *, guarded: bool = True
) -> str:
    """A route's target as JSON, with what else the request depends on."""
    after = after_cage(route, what_it_may(route) if guarded else "")
    return msgspec.json.encode(
        {
            **route.target.document(),
            "trusted": route.trusted and not by_agents,
            "confirm": route.document.confirm,
            "text": route.document.template is not None,
            **({"instruction": after} if after else {}),
            "tools": route.tools,
            "guard": route.guard,
            "guarded": guarded,
            **({"traceparents": traceparents} if traceparents else {}),
            **({"madeBy": by_agents} if by_agents else {}),
            "origin": origin.name,
            "tainted": origin.tainted,
        }
    ).decode()


def is_tainted(route: Route, origins: Iterable[Origin]) -> bool:
    """Whether a turn of those events is led by more than the operator's words and the agent's own untainted ones."""
    own = {OPERATOR.name, f"agent:{route.target.agent}"}
    return route.tainted or any(one.tainted or one.name not in own for one in origins)


def with_target(kept: str, route: Route) -> str:
    """A dispatch's target as its route has it now: the place is the same, but its secret may be another."""
    found = msgspec.json.decode(kept)
    how = {key: found[key] for key in _HOW if key in found}
    return msgspec.json.encode({**route.target.document(), **how}).decode()


def parcel_of(dispatch: Dispatch) -> Parcel:
    """The dispatch as its target gets it: the same for every attempt of one run."""
    found = msgspec.json.decode(dispatch.target)
    target = target_from(found)
    is_list = dispatch.body.startswith("[")
    json_type = "application/cloudevents-batch+json" if is_list else "application/cloudevents+json"
    return Parcel(
        key=dispatch.run_key,
        dispatch=dispatch.id,
        route=dispatch.route,
        kind=target.kind,
        text=dispatch.body,
        events=dispatch.events,
        hops=dispatch.hops + 1,
        trusted=bool(found.get("trusted")),
        confirm=found.get("confirm", "ok"),
        agent=target.agent,
        session=target.session,
        url=target.url,
        secret=target.secret,
        subject=target.subject,
        content_type="text/plain; charset=utf-8" if found.get("text") else json_type,
        way=dispatch.way,
        traceparent=next(iter(found.get("traceparents", ())), ""),
        instruction=str(found.get("instruction", "")),
        made_by=str(found.get("madeBy", "")),
        origin=Origin(str(found.get("origin", OUTSIDE.name)), bool(found.get("tainted", True))),
        # A dispatch that was made before there was a guard goes out as its route was then.
        policy=RunPolicy(
            tools=found.get("tools", "read"),
            guard=found.get("guard", "off"),
            tainted=found.get("guarded", True),
            route=dispatch.route,
            dispatch=dispatch.id,
            grant=msgspec.convert(found["grant"], Grant) if "grant" in found else None,
        ),
    )


def granted_document(route: Route, agent: str, grant: Grant, instruction: str, agents: Agents = UNKNOWN) -> str:
    """The target of a turn in which a call may run that was approved: the session in which it was refused, as JSON."""
    session = agents.main_session(agent) if grant.session == GLOBAL else grant.session  # it leads there
    return msgspec.json.encode(
        {
            **Target("session", agent=agent, session=session).document(),
            "trusted": False,
            "confirm": "ok",
            "text": True,
            "instruction": instruction,
            "tools": route.tools,
            "guard": route.guard,
            "guarded": True,
            "origin": OUTSIDE.name,
            "tainted": True,
            "grant": grant,
        }
    ).decode()


def over(dispatch: Dispatch, now: float) -> str:
    """Why a dispatch need not be sent any more; else empty. `now` is in seconds since the Unix epoch."""
    if not dispatch.apart:
        return ""
    until = msgspec.json.decode(dispatch.target)["grant"]["until"] / 1000
    return "the approval's time was over before its turn could begin" if until <= now else ""
