"""A route: which events, on which condition, to which target, in which form, how fast. Compiled when it is saved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec

from openclaw_nats.contract.checking import check, within
from openclaw_nats.contract.routes import Flow, Guard, Retry, RouteDocument, Tools
from openclaw_nats.errors import InvalidRoute
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.condition_worker import key_of
from openclaw_nats.events.conditions import Condition, Context, Expression, condition_of, filter_to_cel
from openclaw_nats.events.envelope import parse_time
from openclaw_nats.events.instructions import check_instruction, looks_like_one
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.subjects import DEAD_LETTERS, GATEWAY_OWN, as_event, check_pattern, covers
from openclaw_nats.guard.tool_rules import check_tools
from openclaw_nats.inbound.flow_policy import backoff_of, policy_of
from openclaw_nats.inbound.groups import Policy
from openclaw_nats.inbound.target import UNKNOWN, Target, compile_target
from openclaw_nats.inbound.template_check import check_template

_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,128}")
_MAX_PAYLOAD = 65536


@dataclass(frozen=True)
class Route:
    """A compiled route. Durations are seconds. `maker` is the agent that made it; None for the operator's.

    `made_at` is when it was made, in seconds since the Unix epoch.
    `owner` names the job or timer whose ticks alone it takes. `tainted`: somebody outside may have had a hand in it.
    """

    id: int
    document: RouteDocument
    after_sequence: int
    target: Target
    conditions: tuple[Condition, ...]
    key: Expression | None
    policy: Policy
    backoff: tuple[float, ...]
    until: float | None = None
    maker: Maker | None = None
    made_at: float = 0.0
    owner: str = ""
    tainted: bool = False

    @property
    def trusted(self) -> bool:
        """Whether its text goes out as the operator's own: never that of a route which an agent made."""
        return self.document.trusted and self.maker is None

    @cached_property
    def instruction_note(self) -> str:
        """What is to be said of words in its template or payload that look like an instruction; empty for nothing."""
        if not self.target.is_turn or self.trusted or self.document.instruction:
            return ""
        where = looks_like_one(self.document.template, self.document.payload)
        return where and (
            f"its {where} holds words that look like an instruction: agents take them for data and do not carry them "
            "out. They belong into `instruction` (--instruction)"
        )

    @property
    def tools(self) -> Tools:
        """What its turns may use when something from outside has led to them."""
        return "read" if self.document.tools is None else self.document.tools

    @property
    def guard(self) -> Guard:
        """What becomes of other calls. A route from before there was a guard has none; a job or timer has."""
        return self.document.guard or ("ask" if self.owner else "off")

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.document.name

    @property
    def pattern(self) -> str:
        """Which subjects it takes."""
        return self.document.pattern

    @property
    def looks_inside(self) -> bool:
        """Whether it has to see an event's content to judge it."""
        return bool(self.conditions) or self.key is not None

    def is_cheap(self, size: int) -> bool:
        """Whether it may judge a document of `size` bytes in the event loop (see Expression.is_cheap)."""
        cheap = all(one.is_cheap(size) for one in self.conditions)
        return cheap and (self.key is None or self.key.is_cheap(size))

    def judge(self, context: Context) -> str | None:
        """The event's flow key, or None when a condition does not hold; raise Poison when one fails on it."""
        if not all(condition.holds(context) for condition in self.conditions):
            return None
        return key_of(self.key, context, "flow.key")


def parse(value: object) -> RouteDocument:
    """Check the shape of a route; raise InvalidRoute that names the field."""
    found = check(value, RouteDocument, "a route", InvalidRoute)
    return msgspec.structs.replace(found, pattern=as_event(found.pattern))


def to_document(route: RouteDocument) -> dict[str, object]:
    """A route as JSON, without what has its default."""
    found: dict[str, object] = msgspec.to_builtins(route)
    return found


def check_trusted(document: RouteDocument, old: RouteDocument | None) -> None:
    """Raise InvalidRoute for a route that becomes `trusted` where not only the Gateway itself publishes."""
    others = document.pattern.startswith(DEAD_LETTERS)  # which say what somebody else's event was
    if not document.trusted or (not others and any(covers(own, document.pattern) for own in GATEWAY_OWN)):
        return
    if old is not None and old.trusted and old.pattern == document.pattern:
        return  # of a time when that was the only way
    raise InvalidRoute(
        f"trusted can't be set: others than the Gateway may publish on {document.pattern}",
        hint="Say what is to be done in the route's instruction, which does not come from events.",
        field="trusted",
    )


def compile_route(
    document: RouteDocument,
    route_id: int = 0,
    after_sequence: int = 0,
    maker: Maker | None = None,
    agents: Agents = UNKNOWN,
    owner: str = "",
) -> Route:
    """Compile everything in a route; raise InvalidRoute or InvalidSubject that says what is wrong and where."""
    if not owner and (not _NAME.fullmatch(document.name) or document.name != document.name.strip()):
        raise InvalidRoute("name must be 1 to 128 characters, without / and control characters", field="name")
    with within("pattern"):
        check_pattern(document.pattern)
    with within("target"):
        target = compile_target(document.target, agents)
    if document.template is not None:
        with within("template"):
            check_template(document.template)
    if document.payload is not None and len(msgspec.json.encode(document.payload)) > _MAX_PAYLOAD:
        raise InvalidRoute("payload is larger than 64 KiB", field="payload")
    check_instruction(document.instruction, InvalidRoute)
    if document.instruction.strip() and not target.is_turn:
        raise InvalidRoute(
            f"instruction is for agents, and the target is a {target.kind}", field="instruction", hint="Leave it out."
        )
    if document.tools is not None:
        check_tools(document.tools)
    flow = document.flow or Flow()
    return Route(
        id=route_id,
        document=document,
        after_sequence=after_sequence,
        target=target,
        conditions=tuple(_conditions(document)),
        key=_flow_key(flow),
        policy=policy_of(flow, document.expires_after, target),
        backoff=backoff_of(document.retry or Retry()),
        until=_until(document.until),
        maker=maker,
        owner=owner,
    )


def _conditions(document: RouteDocument) -> Iterator[Condition]:
    if document.when is not None:
        with within("when"):
            yield condition_of(document.when)
    if document.filter is not None:
        with within("filter"):
            yield condition_of(filter_to_cel(document.filter), "filter")


def _flow_key(flow: Flow) -> Expression | None:
    if flow.key is None:
        return None
    with within("flow.key"):
        return Expression(flow.key, "flow.key")


def _until(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parse_time(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRoute(
            f"until must be an RFC 3339 time with a zone, not {value[:40]!r}",
            hint="Such as 2027-01-31T08:00:00Z.",
            field="until",
        ) from None
