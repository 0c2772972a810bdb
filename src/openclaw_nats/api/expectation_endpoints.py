"""`/api/expectations`: rules about silence."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.queries import parameters
from openclaw_nats.contract import expectations as shapes
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.ids import uuid7
from openclaw_nats.expectations.book import ExpectationBook
from openclaw_nats.expectations.ready import READY
from openclaw_nats.expectations.rule import OWN, compile_rule, parse
from openclaw_nats.ports import EventLog

MAX_BODY = 16 * 1024


class ExpectationEndpoints:
    """The handlers. `problem` says why nothing is judged, `taken_by` which routes take a subject."""

    def __init__(
        self,
        book: ExpectationBook,
        events: EventLog,
        identity: Identity,
        gateway_id: str,
        problem: Callable[[], str],
        taken_by: Callable[[str], list[str]],
    ) -> None:
        self._book = book
        self._events = events
        self._identity = identity
        self._gateway_id = gateway_id
        self._problem = problem
        self._taken_by = taken_by

    async def expectations(self, request: Request) -> Response:
        """A list, or a new one."""
        if request.method == "POST":
            return json_response(await self._book.add(parse(await json_body(request, MAX_BODY))), 201)
        parameters(request, ())
        return json_response(
            shapes.Expectations(await self._book.every(), self._problem(), await self._book.watchdog())
        )

    async def ready(self, request: Request) -> Response:
        """The ready-made ones."""
        parameters(request, ())
        return json_response(shapes.ReadyExpectations(list(READY)))

    async def expectation(self, request: Request) -> Response:
        """One of them with its episodes; changing and removing it."""
        name = request.path_params["name"]
        if request.method == "DELETE":
            await self._book.remove(name)
            return Response(status_code=204)
        if request.method == "PATCH":
            changes = await json_body(request, MAX_BODY)
            if not isinstance(changes, dict):
                raise InvalidInput("a change must be a JSON object")
            return json_response(await self._book.change(name, changes))
        return json_response(await self._book.shown(name))

    async def test(self, request: Request) -> Response:
        """Publish its notice as a test: what takes it can be looked at before something is missed."""
        name = request.path_params["name"]
        rule = compile_rule(await self._book.tested(name))
        now = int(time.time() * 1000)
        subject, event = f"{OWN}missed.{name}", f"expectation-test-{uuid7(now)}"
        data = {"expectation": name, "about": rule.about, "reason": "this is a test", "test": True}
        message = bus_message(self._identity, self._gateway_id, subject, data, event_id=event, milliseconds=now)
        await self._events.append([message])
        return json_response(shapes.ExpectationTested(subject, event, self._taken_by(subject)))
