"""Where a route's events go: a target as it is given, worked out with the agents that the Gateway has."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from msgspec import Struct

from openclaw_nats.contract import routes as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.fields import TargetKind
from openclaw_nats.errors import InvalidInput, InvalidRoute
from openclaw_nats.events import session_keys
from openclaw_nats.events.agents import MAIN, Agents, nearest
from openclaw_nats.events.subjects import check_subject
from openclaw_nats.url_secrets import MASK, masked

TURN_KINDS: tuple[TargetKind, ...] = ("session", "agent", "wake")
UNKNOWN = Agents()
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_AGENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_KEYS = {"agent": "agentId", "session": "sessionKey", "url": "url", "secret": "secret", "subject": "subject"}


class TargetField(Struct):
    """A target alone, as a route holds it."""

    target: shapes.Target | str


@dataclass(frozen=True)
class Target:
    """Where a route's events go. Deliveries of one `lane` go one after another unless the route says otherwise."""

    kind: TargetKind
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

    def shown(self, secret: str = "") -> shapes.ResolvedTarget:
        """The target as people may see it; `secret` stands in for the one that it has."""
        return shapes.ResolvedTarget(
            kind=self.kind,
            agent_id=self.agent,
            session_key=self._session_key,
            url=masked(self.url) if self.url else "",
            secret=secret if self.secret else "",
            subject=self.subject,
        )

    def document(self) -> dict[str, str]:
        """The target as JSON, its secrets included: for the inbox, not for people."""
        found = {key: getattr(self, name) for name, key in _KEYS.items()} | {"sessionKey": self._session_key}
        return {"kind": str(self.kind)} | {key: value for key, value in found.items() if value}

    @property
    def _session_key(self) -> str:
        as_everybody_expects = self.kind == "wake" and self.session == f"agent:{self.agent}:{MAIN}"
        return "" if as_everybody_expects else self.session


def target_from(found: Mapping[str, object]) -> Target:
    """A target from what `Target.document` gave; other fields are left alone."""
    kind: TargetKind = found["kind"]  # type: ignore[assignment]  # as this module wrote it
    agent, session, url, secret, subject = (str(found.get(key, "")) for key in _KEYS.values())
    return Target(kind, agent=agent, session=session, url=url, secret=secret, subject=subject)


def parse_target(value: object, agents: Agents = UNKNOWN) -> Target:
    """A target as people write it: the short form (`main`, a session key) or an object; raise InvalidRoute."""
    return compile_target(check({"target": value}, TargetField, "a target", InvalidRoute).target, agents)


def compile_target(given: shapes.Target | str, agents: Agents = UNKNOWN) -> Target:
    """A target whose shape is right; raise InvalidRoute.

    What it leaves open (the default agent, the name of its main session) is as `agents` says.
    """
    if isinstance(given, str):
        given = shapes.SessionTarget(session_key=given)
    if isinstance(given, shapes.WebhookTarget):
        return _webhook(given)
    if isinstance(given, shapes.SubjectTarget):
        return Target("subject", subject=_republish_subject(given.subject))
    agent = given.agent_id or ""
    if isinstance(given, shapes.AgentTarget) and not agent:
        raise _wrong("agentId", "is missing for agent")
    if agent and not _AGENT.fullmatch(agent):
        raise _wrong("agentId", f"{agent[:40]!r} is not an agent's id")
    if isinstance(given, shapes.SessionTarget):
        return _session(given.session_key, agent, agents)
    owner = agent.lower() or agents.unnamed
    if isinstance(given, shapes.WakeTarget):
        return Target("wake", agent=owner, session=agents.main_session(owner), named=bool(agent))
    return Target("agent", agent=owner, named=bool(agent))


def target_problem(given: shapes.Target | str, agents: Agents) -> tuple[str, str]:
    """Why nothing on this Gateway can answer a target, and what to do; two empty texts when something can."""
    target = compile_target(given, agents)
    if problem := not_a_session(given, agents):
        return problem
    name = given if isinstance(given, str) else ""
    if not agents.known or not target.is_turn:
        return "", ""
    if name and ":" not in name and not agents.is_main(word := session_keys.folded(name)):
        known = (MAIN, *agents.ids)
        if word in agents.ids:
            return f"target {name[:60]!r} is an agent, not a session", f"Write agent:{word}:main, or agent:{word}."
        hint = f"{nearest(word, known)} A session of that name is {target.session[:100]}."
        return f"target {name[:60]!r} is neither main nor a session's whole key", hint
    return agents.problem(target.agent, named=target.named)


def not_a_session(given: shapes.Target | str, agents: Agents = UNKNOWN) -> tuple[str, str] | None:
    """Of what would become a session although something else was meant: why it is none, and what to write."""
    if isinstance(given, shapes.SessionTarget):
        key = "" if given.agent_id else given.session_key
    else:
        key = given if isinstance(given, str) else ""
    first, colon, rest = key.partition(":")
    if _ADDRESS.match(key):
        return "target is an address, not a session", 'Write {"kind": "webhook", "url": "<address>"}.'
    if first == "wake":
        agent = f', "agentId": "{rest}"' if rest else ""
        return f"target {key[:60]!r} is no session", f'Write {{"kind": "wake"{agent}}}.'
    if first == "subject" and colon:
        return f"target {key[:60]!r} is no session", f'Write {{"kind": "subject", "subject": "{rest[:100]}"}}.'
    if colon and not rest:
        return f"target {key[:60]!r} ends with a colon", "Write a session's whole key."
    if rest and first != "agent" and session_keys.folded(first) in agents.ids:
        return f"target {key[:60]!r} begins with an agent", f"Write agent:{key[:100]}, or agent:{first}."
    return None


def without_mask(given: shapes.Target | str) -> shapes.Target | str:
    """A target that came back as it was shown, without the sign that stands for its secret."""
    if isinstance(given, shapes.WebhookTarget) and given.secret == MASK:
        return shapes.WebhookTarget(url=given.url)
    return given


def _session(session: str, agent: str, agents: Agents) -> Target:
    if not session:
        raise _wrong("sessionKey", "is missing for session")
    if not session_keys.is_session_key(session):
        raise _wrong("sessionKey", f"must be 1 to {session_keys.MAX_LENGTH} characters, without control characters")
    session, owner = session_keys.folded(session), agent.lower()
    if session.startswith("agent:"):
        found = session_keys.split(session)
        if found is None or not _AGENT.fullmatch(found[0]):
            raise _wrong("sessionKey", f"{session[:60]!r} must have the form agent:<agentId>:<name>")
        if owner and owner != found[0]:
            raise _wrong("agentId", f"is {agent!r}, but the session belongs to agent {found[0]!r}")
        owner, name = found
    else:
        name = session
    named, owner = bool(owner), owner or agents.unnamed
    key = agents.main_session(owner) if agents.is_main(name) else session_keys.folded(f"agent:{owner}:{name}")
    return Target("session", agent=owner, session=key, named=named)


def _webhook(given: shapes.WebhookTarget) -> Target:
    try:
        parts = urlsplit(given.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or len(given.url) > 2000 or re.search(r"[\s\x00-\x1f]", given.url):
        raise _wrong("url", "must be an http:// or https:// address")
    secret = given.secret or ""
    if secret:
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not 16 <= len(key) <= 128:
            raise _wrong(
                "secret",
                "must be 16 to 128 bytes in base64, with or without whsec_ in front",
                hint="`openssl rand -base64 32` makes one.",
            )
    return Target("webhook", url=given.url, secret=secret)


def _republish_subject(subject: str) -> str:
    if subject.startswith("agent.events."):
        return check_subject(subject)
    tokens = subject.split(".")
    bad = not subject.isascii() or len(subject) > 255 or "" in tokens or re.search(r"[\s*>\x00-\x1f\x7f]", subject)
    if bad or tokens[0].startswith(("$", "_INBOX")) or subject.startswith("agent.dlq"):
        raise _wrong("subject", f"{subject[:60]!r} can't be published on")
    return subject


def _wrong(name: str, what: str, *, hint: str = "") -> InvalidInput:
    return InvalidRoute(f"target.{name} {what}", hint=hint, field=f"target.{name}")
