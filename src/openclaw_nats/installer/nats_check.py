"""Trying a NATS that somebody else runs, before anything of it is saved: connection, JetStream, permissions.

Nothing is changed there: requests with a body that is no JSON are refused by JetStream itself, and the one message that
is published names a stream that does not exist, so that no stream takes it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from openclaw_nats.errors import OpenClawNatsError, SetupError
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.streams import EVENTS
from openclaw_nats.service import logs
from openclaw_nats.settings import Settings

_SECONDS = 5.0
_POLL = 0.02
_NO_STREAM = {"Nats-Expected-Stream": "openclaw-nats-setup-check"}
_HINT = (
    "Check the address, who you are there (--nats-user, --nats-credentials, --nats-nkey), the CA of its "
    "certificate (--nats-ca), and whether JetStream is on."
)
_PERMISSIONS = "docs/how-to/fleet.md lists the permissions that a sidecar's user needs."


def check(settings: Settings) -> None:
    """Try the NATS of these settings; raise SetupError that says what is wrong with it, and what helps."""
    logs.silence()
    try:
        options = Options.from_settings(settings)
        problem, hint = asyncio.run(_attempt(options))
    except OpenClawNatsError as error:
        problem, hint = str(error), _HINT
    if problem:
        raise SetupError(problem, hint=hint)


async def _attempt(options: Options) -> tuple[str, str]:
    """What is wrong, and a hint; empty when all can be used."""
    async with connected(options, _SECONDS) as connection:
        api, shown = options.api, options.shown
        problem, answer = await _ask(connection, f"{api}.INFO", b"", {})  # hears of the inbox, too
        if problem:
            return f"NATS at {shown} can't be used: {problem}", _HINT if "JetStream" in problem else _PERMISSIONS
        if "error" in answer:
            error = answer["error"]
            description = error.get("description", "") if isinstance(error, Mapping) else ""
            return f"NATS at {shown} can't be used: {description or 'JetStream refused'}", _HINT
        for subject, headers in (
            (f"{api}.STREAM.CREATE.{EVENTS}", {}),
            (f"{api}.CONSUMER.CREATE.{EVENTS}.setup-check", {}),
            ("agent.events.bus.setup_check", _NO_STREAM),
        ):
            connection.last_error = ""
            problem, _ = await _ask(connection, subject, b"{", headers)
            if "may not" in problem:
                return f"NATS at {shown} can't be used: {problem}", _PERMISSIONS
    return "", ""


def _refusal(error: str, subject: str) -> str:
    """What the server said against us, in our words: nats-py gives it in small letters, subjects too."""
    lower = error.lower()
    if "permissions violation" not in lower:
        return error
    if "subscription" in lower:
        return "its user may not subscribe to the inbox for answers (nats.inbox_prefix)"
    return f"its user may not publish on {subject}"


async def _ask(
    connection: Connection, subject: str, body: bytes, headers: dict[str, str]
) -> tuple[str, dict[str, object]]:
    """Ask once; what kept the answer away (a refusal comes apart from it), and the answer."""
    future = await connection.start_request(subject, body, headers or None)
    deadline = time.monotonic() + _SECONDS
    while not future.done() and not connection.last_error and time.monotonic() < deadline:
        await asyncio.wait({future}, timeout=_POLL)
    if not future.done() or future.exception() is not None:
        future.cancel()
        return _refusal(connection.last_error, subject) or f"no answer on {subject} within {_SECONDS:g} s", {}
    reply = future.result()
    if reply.headers and reply.headers.get("Status") == "503":
        return "JetStream does not answer (no responders)", {}
    try:
        answer = json.loads(reply.data)
    except ValueError:
        answer = None
    return ("", answer) if isinstance(answer, dict) else (f"the answer on {subject} can't be read", {})
