"""A route: which events, on which condition, to which target, in which form, how fast. Checked when it is saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from openclaw_nats.errors import InvalidRoute, Poison
from openclaw_nats.events import session_keys
from openclaw_nats.events.agents import MAIN, Agents, nearest
from openclaw_nats.events.condition_worker import key_text
from openclaw_nats.events.conditions import Condition, Expression, condition_of, filter_to_cel
from openclaw_nats.events.envelope import parse_time
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.subjects import check_pattern, check_subject
from openclaw_nats.inbound.groups import Policy
from openclaw_nats.inbound.quiet_hours import QuietHours
from openclaw_nats.inbound.template_check import check_template
from openclaw_nats.settings import parse_duration
from openclaw_nats.url_secrets import masked

DEFAULT_BACKOFF = ("5s", "30s", "2m", "10m", "1h", "3h")
CONFIRMATIONS = ("accepted", "ended", "ok")
TURN_KINDS = ("session", "agent", "wake")
KINDS = (*TURN_KINDS, "webhook", "subject")
MAX_TEMPLATE = 20_000
_NAME = re.compile(r"[^\x00-\x1f\x7f/]{1,128}")
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FIELDS: dict[str, tuple[str, ...]] = {
    "session": ("sessionKey", "agentId"),
    "agent": ("agentId",),
    "wake": ("agentId",),
    "webhook": ("url", "secret"),
    "subject": ("subject",),
}
_NEEDED = {"session": ("sessionKey",), "agent": ("agentId",), "wake": (), "webhook": ("url",), "subject": ("subject",)}


_UNKNOWN = Agents()
_TARGET_KEYS = {"agent": "agentId", "session": "sessionKey", "url": "url", "secret": "secret", "subject": "subject"}


class RouteDocument(msgspec.Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A route as the API takes it; what is left out has its default."""

    name: str
    pattern: str
    target: Any
    when: str | None = None
    filter: Any = None
    template: str | None = None
    payload: dict[str, Any] | None = None
    priority: int | None = None
    enabled: bool = True
    flow: dict[str, Any] | None = None
    retry: dict[str, Any] | None = None
    confirm: str = "ok"
    trusted: bool = False
    expires_after: str | None = None
    until: str | None = None


@dataclass(frozen=True)
class Target:
    """Where a route's events go. Deliveries of one `lane` go one after another unless the route says otherwise."""

    kind: str
    agent: str = ""
    session: str = ""
    url: str = ""
    secret: str = ""
    subject: str = ""
    named: bool = True  # whether it names its agent: else it is for the Gateway's default one

    @property
    def lane(self) -> str:
        """The name of the line in which its deliveries wait."""
        place = self.agent if self.kind == "wake" else self.session or self.url or self.subject or self.agent
        return f"{self.kind} {place}"

    @property
    def is_turn(self) -> bool:
        """Whether a dispatch to it is an agent's turn, which costs money."""
        return self.kind in TURN_KINDS

    def shown(self) -> dict[str, Any]:
        """The target as people may see it: without its secrets."""
        found = self.document()
        found.pop("secret", None)
        return found | ({"url": masked(self.url)} if self.url else {})

    def document(self) -> dict[str, Any]:
        """The target as JSON, its secrets included: for the inbox, not for people."""
        found = {key: getattr(self, name) for name, key in _TARGET_KEYS.items()}
        if self.kind == "wake" and self.session == f"agent:{self.agent}:{MAIN}":
            found.pop("sessionKey")  # as everybody expects it
        return {"kind": self.kind} | {key: value for key, value in found.items() if value}


def target_from(found: Mapping[str, Any]) -> Target:
    """A target from what `Target.document` gave; other fields are left alone."""
    return Target(found["kind"], **{name: found[key] for name, key in _TARGET_KEYS.items() if key in found})


@dataclass(frozen=True)
class Route:
    """A compiled route. Durations are seconds. `maker` is the agent that made it; None for the operator's.

    `made_at` is when it was made, in seconds since the Unix epoch.
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

    @property
    def trusted(self) -> bool:
        """Whether its text goes out as the operator's own: never that of a route which an agent made."""
        return self.document.trusted and self.maker is None

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

    def judge(self, context: Mapping[str, Any]) -> str | None:
        """The event's flow key, or None when a condition does not hold; raise Poison when one fails on it."""
        if not all(condition.holds(context) for condition in self.conditions):
            return None
        if self.key is None:
            return ""
        value = self.key.evaluate(context)
        try:
            return key_text(value)
        except (TypeError, ValueError):
            raise Poison(f"flow.key is {type(value).__name__}, which can't be a key") from None


def parse(value: object) -> RouteDocument:
    """Check the shape of a route; raise InvalidRoute that names the field."""
    if not isinstance(value, dict):
        raise InvalidRoute("a route must be a JSON object")
    try:
        return msgspec.convert(value, RouteDocument)
    except msgspec.ValidationError as error:
        raise InvalidRoute(str(error).replace("`$.", "`"), hint="Fields: " + ", ".join(_field_names()) + ".") from None


def to_document(route: RouteDocument) -> dict[str, Any]:
    """A route as JSON, without what has its default."""
    found: dict[str, Any] = msgspec.to_builtins(route)
    return found


def compile_route(
    document: RouteDocument,
    route_id: int = 0,
    after_sequence: int = 0,
    maker: Maker | None = None,
    agents: Agents = _UNKNOWN,
) -> Route:
    """Compile everything in a route; raise InvalidRoute or InvalidSubject that says what is wrong and where."""
    if not _NAME.fullmatch(document.name) or document.name != document.name.strip():
        raise InvalidRoute("name must be 1 to 128 characters, without / and control characters")
    check_pattern(document.pattern)
    target = parse_target(document.target, agents)
    conditions = []
    if document.when is not None:
        conditions.append(condition_of(document.when))
    if document.filter is not None:
        conditions.append(condition_of(filter_to_cel(document.filter), "filter"))
    if document.template is not None:
        if len(document.template) > MAX_TEMPLATE:
            raise InvalidRoute(f"template is {len(document.template)} characters long; the limit is {MAX_TEMPLATE}")
        check_template(document.template)
    if document.priority is not None and not 1 <= document.priority <= 10:
        raise InvalidRoute(f"priority must be from 1 (low) to 10 (high), not {document.priority}")
    if document.confirm not in CONFIRMATIONS:
        raise InvalidRoute(f"confirm must be one of {', '.join(CONFIRMATIONS)}, not {document.confirm[:40]!r}")
    if document.payload is not None and len(msgspec.json.encode(document.payload)) > 65536:
        raise InvalidRoute("payload is larger than 64 KiB")
    flow = document.flow or {}
    key = Expression(flow["key"], "flow.key") if "key" in flow else None
    return Route(
        id=route_id,
        document=document,
        after_sequence=after_sequence,
        target=target,
        conditions=tuple(conditions),
        key=key,
        policy=_policy(flow, document.expires_after, target),
        backoff=_backoff(document.retry or {}),
        until=_until(document.until),
        maker=maker,
    )


def parse_target(value: object, agents: Agents = _UNKNOWN) -> Target:
    """A target in the short form (`main`, a session key) or as an object; raise InvalidRoute.

    What it leaves open (the default agent, the name of its main session) is as `agents` says.
    """
    if isinstance(value, str):
        value = {"kind": "session", "sessionKey": value}
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        raise InvalidRoute('target must be "main", a session key, or {"kind": …}', hint=f"Kinds: {', '.join(KINDS)}.")
    kind = value["kind"]
    for name, field in value.items():
        if name != "kind" and (name not in _FIELDS[kind] or not isinstance(field, str)):
            raise InvalidRoute(f"target.{name} can't be used for {kind}; it takes {', '.join(_FIELDS[kind])}, as text")
    for name in _NEEDED[kind]:
        if not value.get(name):
            raise InvalidRoute(f"target.{name} is missing for {kind}")
    agent = value.get("agentId", "")
    if agent and not _AGENT.fullmatch(agent):
        raise InvalidRoute(f"target.agentId {agent[:40]!r} is not an agent's id")
    if kind == "session":
        return _session_target(value["sessionKey"], agent, agents)
    if kind == "webhook":
        return _webhook_target(value)
    if kind == "subject":
        return Target("subject", subject=_republish_subject(value["subject"]))
    owner = agent.lower() or agents.unnamed
    session = agents.main_session(owner) if kind == "wake" else ""
    return Target(kind, agent=owner, session=session, named=bool(agent))


def _session_target(session: str, agent: str, agents: Agents) -> Target:
    if not session_keys.is_session_key(session):
        raise InvalidRoute(
            f"target.sessionKey must be 1 to {session_keys.MAX_LENGTH} characters, without control characters"
        )
    session, owner = session_keys.folded(session), agent.lower()
    if session.startswith("agent:"):
        found = session_keys.split(session)
        if found is None or not _AGENT.fullmatch(found[0]):
            raise InvalidRoute(f"target.sessionKey {session[:60]!r} must have the form agent:<agentId>:<name>")
        if owner and owner != found[0]:
            raise InvalidRoute(f"target.agentId is {agent!r}, but the session belongs to agent {found[0]!r}")
        owner, name = found
    else:
        name = session
    named, owner = bool(owner), owner or agents.unnamed
    key = agents.main_session(owner) if agents.is_main(name) else session_keys.folded(f"agent:{owner}:{name}")
    return Target("session", agent=owner, session=key, named=named)


def target_problem(document: RouteDocument, agents: Agents) -> tuple[str, str]:
    """Why nothing on this Gateway can answer a route's target, and what to do; two empty texts when something can."""
    target = parse_target(document.target, agents)
    if not agents.known or not target.is_turn:
        return "", ""
    name = document.target if isinstance(document.target, str) else ""
    if name and ":" not in name and not agents.is_main(word := session_keys.folded(name)):
        known = (MAIN, *agents.ids)
        if word in agents.ids:
            return f"target {name[:60]!r} is an agent, not a session", f"Write agent:{word}:main, or agent:{word}."
        hint = f"{nearest(word, known)} A session of that name is {target.session[:100]}."
        return f"target {name[:60]!r} is neither main nor a session's whole key", hint
    return agents.problem(target.agent, named=target.named)


def _webhook_target(value: dict[str, Any]) -> Target:
    try:
        parts = urlsplit(value["url"])
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or len(value["url"]) > 2000 or re.search(r"[\s\x00-\x1f]", value["url"]):
        raise InvalidRoute("target.url must be an http:// or https:// address")
    secret = value.get("secret", "")
    if secret:
        import base64
        import binascii

        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            key = b""
        if not 16 <= len(key) <= 128:
            raise InvalidRoute(
                "target.secret must be 16 to 128 bytes in base64, with or without whsec_ in front",
                hint="`openssl rand -base64 32` makes one.",
            )
    return Target("webhook", url=value["url"], secret=secret)


def _republish_subject(subject: str) -> str:
    if subject.startswith("agent.events."):
        return check_subject(subject)
    tokens = subject.split(".")
    bad = not subject.isascii() or len(subject) > 255 or "" in tokens or re.search(r"[\s*>\x00-\x1f\x7f]", subject)
    if bad or tokens[0].startswith(("$", "_INBOX")) or subject.startswith("agent.dlq"):
        raise InvalidRoute(f"target.subject {subject[:60]!r} can't be published on")
    return subject


def _policy(flow: dict[str, Any], expires_after: str | None, target: Target) -> Policy:
    known = ("debounce", "maxWait", "batch", "rate", "concurrency", "key", "quietHours")
    for name in flow:
        if name not in known:
            raise InvalidRoute(f"flow.{name} is not known", hint=f"flow takes {', '.join(known)}.")
    if "maxWait" in flow and "debounce" not in flow:
        raise InvalidRoute("flow.maxWait is the longest wait of a debounce; flow.debounce is missing")
    debounce = _seconds(flow, "debounce", "flow.debounce")
    max_wait = _seconds(flow, "maxWait", "flow.maxWait") or debounce * 10
    if max_wait < debounce:
        raise InvalidRoute("flow.maxWait is shorter than flow.debounce")
    batch = _table(flow, "batch", ("size", "wait"))
    rate = _table(flow, "rate", ("count", "per"))
    return Policy(
        debounce=debounce,
        max_wait=max_wait,
        batch_size=_whole(batch, "size", "flow.batch.size", 1, 1000, 50) if batch else 0,
        batch_wait=(_seconds(batch, "wait", "flow.batch.wait") if "wait" in batch else 10.0) if batch else 0.0,
        rate_count=_whole(rate, "count", "flow.rate.count", 1, 100_000, None) if rate else 0,
        rate_per=_seconds(rate, "per", "flow.rate.per", needed=True) if rate else 0.0,
        concurrency=_whole(flow, "concurrency", "flow.concurrency", 1, 1000, 1),
        quiet=_quiet(_table(flow, "quietHours", ("from", "to", "timezone"))),
        expires_after=_expires(expires_after),
        digest=target.is_turn,
        turn=target.is_turn,
    )


def _expires(value: str | None) -> float:
    return _seconds({"expiresAfter": value}, "expiresAfter", "expiresAfter", needed=True) if value is not None else 0.0


def _until(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parse_time(value).timestamp()
    except (ValueError, OverflowError):
        raise InvalidRoute(
            f"until must be an RFC 3339 time with a zone, not {value[:40]!r}", hint="Such as 2027-01-31T08:00:00Z."
        ) from None


def _backoff(retry: dict[str, Any]) -> tuple[float, ...]:
    for name in retry:
        if name not in ("backoff", "attempts"):
            raise InvalidRoute(f"retry.{name} is not known", hint="retry takes backoff (a list of waits) and attempts.")
    waits = retry.get("backoff", list(DEFAULT_BACKOFF))
    if not isinstance(waits, list) or len(waits) > 100:
        raise InvalidRoute('retry.backoff must be a list of waits, such as ["5s", "1m", "1h"]')
    found = [_seconds({"wait": wait}, "wait", f"retry.backoff[{at}]", needed=True) for at, wait in enumerate(waits)]
    attempts = _whole(retry, "attempts", "retry.attempts", 1, 101, len(found) + 1)
    while len(found) < attempts - 1:
        found.append(found[-1] if found else 5.0)
    return tuple(found[: attempts - 1])


def _table(value: dict[str, Any], name: str, fields: tuple[str, ...]) -> dict[str, Any]:
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict) or not found or set(found) - set(fields):
        raise InvalidRoute(f"flow.{name} must be an object with {', '.join(fields)}")
    return found


def _seconds(value: dict[str, Any], name: str, field: str, *, needed: bool = False) -> float:
    if name not in value:
        if needed:
            raise InvalidRoute(f"{field} is missing")
        return 0.0
    try:
        seconds = parse_duration(value[name])
    except ValueError as error:
        raise InvalidRoute(f"{field} must be {error}, not {str(value[name])[:40]!r}") from None
    if seconds > 366 * 86400:
        raise InvalidRoute(f"{field} is longer than a year")
    return seconds


def _whole(value: dict[str, Any], name: str, field: str, least: int, most: int, default: int | None) -> int:
    found = value.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise InvalidRoute(f"{field} must be a whole number from {least} to {most}")
    return found


def _quiet(value: dict[str, Any]) -> QuietHours | None:
    if not value:
        return None
    minutes = []
    for name in ("from", "to"):
        match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", str(value.get(name, "")))
        if not match:
            raise InvalidRoute(f"flow.quietHours.{name} must be a time such as 22:00")
        minutes.append(int(match[1]) * 60 + int(match[2]))
    if minutes[0] == minutes[1]:
        raise InvalidRoute("flow.quietHours.from and to are equal")
    zone = value.get("timezone", "UTC")
    try:
        return QuietHours(minutes[0], minutes[1], ZoneInfo(zone))
    except (KeyError, ValueError, TypeError, OSError):
        raise InvalidRoute(
            f"flow.quietHours.timezone {str(zone)[:40]!r} is not an IANA time zone", hint="Example: Europe/Amsterdam."
        ) from None


def _field_names() -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(RouteDocument)]
