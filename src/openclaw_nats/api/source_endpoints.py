"""`/api/sources`: verified ways in for webhooks, and watchers. Secrets go in and never come out."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.front_door import GATEWAY_PREFIX, address_of
from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.queries import limit_of, number_of, parameters
from openclaw_nats.contract import sources as shapes
from openclaw_nats.contract.checking import check
from openclaw_nats.errors import InvalidInput, Unavailable
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.ids import uuid7
from openclaw_nats.sources import watched
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.door import Door
from openclaw_nats.sources.lasting import MOST_REMEMBERED
from openclaw_nats.sources.log import DoorLog
from openclaw_nats.sources.quarantine import Quarantine
from openclaw_nats.sources.recipes import recipes_of
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import Received, Refused
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.watchers.supervisor import Watchers

log = structlog.get_logger(__name__)

MAX_BODY = 16 * 1024


class SourceEndpoints:
    """The handlers."""

    def __init__(
        self,
        book: SourceBook,
        door: Door,
        door_log: DoorLog,
        quarantine: Quarantine,
        watchers: Watchers,
        taken_by: Callable[[str], list[str]],
    ) -> None:
        self._quarantine = quarantine
        self._watchers = watchers
        self._book = book
        self._door = door
        self._log = door_log
        self._taken_by = taken_by

    async def sources(self, request: Request) -> Response:
        """A list, or a new one."""
        if request.method == "POST":
            wanted = check(await json_body(request, MAX_BODY), shapes.SourceRequest, "a source", InvalidInput)
            made = await self._book.add(wanted)
            await self._begin_anew(made.name)
            return json_response(self._shown(made), 201)
        parameters(request, ())
        found = [self._shown(one) for one in self._book.every()]
        try:
            waiting = sum((await self._quarantine.counts()).values())
        except Unavailable:
            waiting = None
        return json_response(shapes.Sources(found, self._log.strangers, waiting))

    async def _begin_anew(self, name: str) -> None:
        """Another source of the name has nothing of the one before."""
        self._log.forget(name)
        await self._door.forget(name)
        try:
            await self._quarantine.clear(name)
        except Unavailable as error:
            log.warning("quarantine.not_cleared", source=name, error=str(error))

    async def kinds(self, request: Request) -> Response:
        """The types of sources."""
        parameters(request, ())
        found = [
            shapes.SourceKind(
                type=name,  # type: ignore[arg-type]
                paste=scheme.paste,
                makes_secret=scheme.makes_secret,
                needs_url=scheme.needs_url,
                recipes=recipes_of(name),
            )
            for name, scheme in SCHEMES.items()
        ]
        found += [
            shapes.SourceKind(
                type=name,  # type: ignore[arg-type]
                paste=kind.about,
                makes_secret=False,
                needs_url=False,
                recipes=recipes_of(name),
                watches=True,
                missing=watched.missing(name),
            )
            for name, kind in watched.WATCHED.items()
        ]
        return json_response(shapes.SourceKinds(found))

    async def source(self, request: Request) -> Response:
        """One of them, with its last requests; changing and removing it."""
        name = request.path_params["name"]
        if request.method == "DELETE":
            await self._book.remove(name)
            await self._watchers.forget(name)
            await self._begin_anew(name)
            return Response(status_code=204)
        if request.method == "PATCH":
            wanted = check(await json_body(request, MAX_BODY), shapes.SourceChange, "a change", InvalidInput)
            return json_response(self._shown(await self._book.change(name, wanted)))
        shown = self._shown(self._book.named(name), whole=True)
        if shown.path:
            shown.signatures = await self._signatures(name)
        return json_response(shown)

    async def _signatures(self, name: str) -> shapes.RememberedSignatures:
        count, since = await self._door.remembered(name)
        found = shapes.RememberedSignatures(count=count, most=MOST_REMEMBERED)
        if since is not None:
            found.since = format_seconds(since)
        return found

    async def quarantined(self, request: Request) -> Response:
        """What waits in quarantine."""
        query = parameters(request, ("source", "limit"))
        return json_response(await self._quarantine.every(query.get("source", ""), limit_of(query)))

    async def one_quarantined(self, request: Request) -> Response:
        """One request that waits there, whole."""
        return json_response(await self._quarantine.one(number_of(request.path_params["number"], "number")))

    async def release(self, request: Request) -> Response:
        """Make events of what waits there."""
        subjects = await self._quarantine.release(await _which(request))
        return json_response(shapes.QuarantineDone(len(subjects), 0, subjects))

    async def drop(self, request: Request) -> Response:
        """Forget what waits there."""
        return json_response(shapes.QuarantineDone(0, await self._quarantine.drop(await _which(request)), []))

    async def rotate(self, request: Request) -> Response:
        """A new secret, or a new address."""
        wanted = check(await json_body(request, MAX_BODY), shapes.RotateRequest, "a rotation", InvalidInput)
        return json_response(self._shown(await self._book.rotate(request.path_params["name"], wanted)))

    async def test(self, request: Request) -> Response:
        """Send a signed sample through the door; of a watcher, say what it sees."""
        source = self._book.named(request.path_params["name"])
        if watched.is_watched(source.type):
            sees = await self._watchers.look(source)
            taken = self._taken_by(f"{source.subject}.x")
            return json_response(shapes.SourceTested(200, source.subject, "", False, taken, sees))
        if source.type == "discord":
            text = "only Discord can sign a request for this source: we have its public key alone"
            raise InvalidInput(text, hint="Save the address there: Discord sends a ping at once.")
        scheme, now = SCHEMES[source.type], time.time()
        if scheme.needs_url and not source.options.url:
            hint = "Remove it, and add it again with the address under which the provider knows it (--url)."
            raise InvalidInput("the source does not know its address, which is signed", hint=hint, field="options.url")
        delivery = f"test-{uuid7(int(now * 1000))}"
        body = scheme.sample.replace(b"NOW_MS", b"%d" % int(now * 1000)).replace(b"NONCE", delivery[-12:].encode())
        url = address_of(source, through_gateway=False)
        options = msgspec.structs.replace(source.options, url=url)
        signed = scheme.sign(body, source.secrets[0].secret, options, now, delivery)
        headers = {"content-type": "application/json", **scheme.sample_headers, **signed}
        try:
            done = await self._door.take(source, Received(headers, body, url), "openclaw-nats test")
        except Refused as error:
            raise InvalidInput(f"the sample was refused: {error}") from None
        event = done.event or shapes.Accepted(id="", subject="")
        tested = shapes.SourceTested(
            done.status, event.subject, event.id, event.duplicate, self._taken_by(event.subject)
        )
        return json_response(tested)

    def _shown(self, source: StoredSource, *, whole: bool = False) -> shapes.Source:
        tally = self._log.of(source.name)
        watches = watched.WATCHED.get(source.type)
        path = f"/in/{source.name}/{source.token}" if watches is None else ""
        found = shapes.Source(
            name=source.name,
            type=source.type,
            subject=source.subject,
            path=path,
            gateway_path=GATEWAY_PREFIX + path if path else "",
            paste=SCHEMES[source.type].paste if watches is None else watches.about,
            made=source.made,
            paused=source.paused,
            secrets=len(self._book.secrets_of(source)),
            options=source.options,
            accepted=tally.accepted,
            repeated=tally.repeated,
            refused={str(status): count for status, count in sorted(tally.refused.items())},
        )
        if tally.last:
            found.last = tally.last
        if watches is not None:
            found.watching = self._watchers.state(source)
        if whole:
            found.requests = tally.requests
        return found


async def _which(request: Request) -> shapes.QuarantineRequest:
    wanted = check(await json_body(request, MAX_BODY), shapes.QuarantineRequest, "which requests", InvalidInput)
    if bool(wanted.number) == bool(wanted.source):
        raise InvalidInput("say which: a number, or a source", field="number")
    return wanted
