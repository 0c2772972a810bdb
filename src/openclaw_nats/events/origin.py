"""Who said it: the origin of an event, which the sidecar works out and never takes from the publisher.

`gateway` (our plugin, and the bus about itself), `operator` (command line, dashboard, the admin key, their jobs and
timers), `agent:<id>` (an agent's tool, its jobs and timers), `source:<name>` (a verified way in), `key:<name>` (a
limited key), and `outside`: everything else, such as a program that publishes over NATS.

`tainted` says that somebody outside may have had a hand in it. Only what the operator said, and what an agent said in a
run that nothing from outside has led to, is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from openclaw_nats.events.subjects import AGENTS, GATEWAY_OWN, SCHEDULED, matches_any

# Subjects on which only the Gateway, the bus, the operator and agents speak; an agent's own are among them.
OWNED = (*GATEWAY_OWN, *SCHEDULED, f"{AGENTS}>")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who said it; `tainted` as above."""

    name: str = "outside"
    tainted: bool = True


OUTSIDE = Origin()
GATEWAY = Origin("gateway")
OPERATOR = Origin("operator", tainted=False)


def of_agent(agent: str, *, tainted: bool) -> Origin:
    """The origin of what an agent says; without an agent the operator's."""
    return Origin(f"agent:{agent}", tainted) if agent else OPERATOR


# A subject is matched once and remembered: it took a third of the time of an event on its way in.
@lru_cache(maxsize=4096)
def by_key(subject: str) -> Origin:
    """The origin of an event that came with the admin key: what is about the Gateway is the Gateway's."""
    return GATEWAY if matches_any(GATEWAY_OWN, subject) else OPERATOR


@lru_cache(maxsize=4096)
def is_owned(subject: str) -> bool:
    """Whether only the Gateway, the bus, jobs and agents' own doings are told on a subject."""
    return matches_any(OWNED, subject)


def of_limited_key(name: str) -> Origin:
    """The origin of what a limited key says, on whatever subject."""
    return Origin(f"key:{name}")


def of_source(name: str) -> Origin:
    """The origin of what came through the front door, verified, on whatever subject."""
    return Origin(f"source:{name}")


def is_outsiders(name: str) -> bool:
    """Whether an origin is somebody who may publish and no more: what an event says of the Gateway is not believed."""
    return name.startswith(("key:", "source:"))


def vouches(name: str) -> bool:
    """Whether what events of an origin say of agents and sessions may be shown and passed on as true."""
    return name != OUTSIDE.name and not is_outsiders(name)


def joint(origins: list[Origin]) -> Origin:
    """The origin of what was made of several events: that of all of them, or nobody's in particular."""
    names = {one.name for one in origins}
    tainted = not origins or any(one.tainted for one in origins)
    return Origin(names.pop(), tainted) if len(names) == 1 else Origin(OUTSIDE.name, tainted)
