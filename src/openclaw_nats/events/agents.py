"""Who can answer on a Gateway: its agents, the one that gets what names none, and where main sessions are."""

from __future__ import annotations

import difflib

import msgspec

from openclaw_nats.events import session_keys

MAIN = "main"


class Agents(msgspec.Struct, frozen=True, rename="camel"):
    """What the plugin reports of its Gateway's configuration; without any id it is not known.

    `default` is empty where several agents are configured and none of them is the default. With `scope` "global" all
    agents share one session: OpenClaw itself leads an agent's main session there.
    """

    ids: tuple[str, ...] = ()
    default: str = ""
    main_key: str = MAIN
    scope: str = ""

    @property
    def known(self) -> bool:
        """Whether the Gateway has said anything."""
        return bool(self.ids)

    @property
    def unnamed(self) -> str:
        """The agent of a target that names none."""
        return self.default if self.known and self.default else MAIN

    def main_session(self, agent: str) -> str:
        """The key of an agent's main session."""
        return f"agent:{agent}:{self.main_key or MAIN}"

    def is_main(self, name: str) -> bool:
        """Whether a session's name is one of those that OpenClaw takes for the main session."""
        return name in (MAIN, self.main_key) or (self.scope == session_keys.GLOBAL and name == session_keys.GLOBAL)

    def shared(self, session: str) -> bool:
        """Whether a session's key means the one that all agents share."""
        parts = session_keys.split(session)
        return self.scope == session_keys.GLOBAL and parts is not None and self.is_main(parts[1])

    def problem(self, agent: str, *, named: bool) -> tuple[str, str]:
        """Why nothing would answer for an agent, and what to do; two empty texts when it is there or not known."""
        if not self.known or (agent in self.ids and (named or self.default or agent == MAIN)):
            return "", ""
        have = ", ".join(self.ids[:10]) + (", …" if len(self.ids) > 10 else "")
        if not named and not self.default:
            return (
                f"this Gateway has several agents ({have}) and no default: the target has to name one",
                f"Such as agent:{self.ids[0]}:main, or wake:{self.ids[0]}.",
            )
        return f"this Gateway has no agent {agent!r}: it has {have}", nearest(agent, self.ids)


def nearest(word: str, known: tuple[str, ...]) -> str:
    """A hint that names what was probably meant."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {found[0]!r}?" if found else f"Known: {', '.join(known[:10])}."
