"""The routes in force: loaded from the database, changed through here, compiled once, indexed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract.routes import RouteDocument, WebhookTarget
from openclaw_nats.errors import InvalidRoute, NotFound, OpenClawNatsError
from openclaw_nats.events.agents import Agents
from openclaw_nats.events.makers import maker_of
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.positions import Takeover
from openclaw_nats.inbound.route import Route, check_trusted, compile_route, parse, to_document
from openclaw_nats.inbound.routing import RouteIndex, reduce_patterns
from openclaw_nats.inbound.stream_trial import StreamTrial
from openclaw_nats.inbound.target import not_a_session, target_problem, without_mask
from openclaw_nats.inbound.trial import check_possible
from openclaw_nats.inbound.waking import wake_document, wake_of
from openclaw_nats.ports import EventSource, Wake
from openclaw_nats.storage import inbox, listing, routes
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.routes import StoredRoute
from openclaw_nats.storage.rows import OPEN
from openclaw_nats.terminal_text import plain
from openclaw_nats.url_secrets import MASK, unmasked

log = structlog.get_logger(__name__)

MAX_ROUTES = 5000
MAX_WAKES = 15_000  # routes of jobs and timers, which are counted apart: neither takes the other's room
_TRIED = {"pattern", "when", "filter", "flow"}  # what a route's conditions depend on
_GUARDED = {"tools", "guard"}
_AGENTS = "the gateway's agents"


class RouteBook:
    """All routes; `index` answers who wants a subject, `patterns` what the consumer has to ask for."""

    def __init__(
        self,
        database: Database,
        source: EventSource,
        flow: FlowControl,
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> None:
        self._database = database
        self._trail = trail or Untraced(database)
        self._source = source
        self._flow = flow
        self._clock = clock
        self._lock = asyncio.Lock()
        self._routes: dict[int, Route] = {}
        self._stored: dict[int, StoredRoute] = {}
        self._by_name: dict[str, int] = {}
        self._by_owner: dict[str, int] = {}  # of jobs and timers
        self._unusable: dict[str, tuple[StoredRoute, str]] = {}
        self._index = RouteIndex(())
        self._patterns: list[str] = []
        self._stale = False
        self.changed = asyncio.Event()
        self.on_change: Callable[[], None] = lambda: None
        self.agents = Agents()  # as the plugin reported them last, also to an earlier process
        # Asks the plugin who is there now; whether it has answered: only then a target is refused.
        self.ask_gateway: Callable[[], Awaitable[bool]] = _nobody_answers
        self.takeover: Takeover | None = None
        self.trial: StreamTrial | None = None
        self._trial_notes: dict[str, str] = {}

    @property
    def index(self) -> RouteIndex:
        """Who wants a subject."""
        self._refresh()
        return self._index

    @property
    def patterns(self) -> list[str]:
        """What the consumer has to ask for."""
        self._refresh()
        return self._patterns

    def names_for(self, subject: str) -> list[str]:
        """The enabled routes whose pattern covers a subject."""
        return [route.name for route in self.index.routes_for(subject) if not route.owner]

    def load(self) -> None:
        """Read the routes at the start. One that this version can't compile is kept, not used, and listed with why."""
        if known := self._database.now(lambda db: inbox.fact(db, _AGENTS)):
            self.agents = msgspec.json.decode(known, type=Agents)
        for stored in self._database.now(routes.every):
            self._try_to_put(stored)
        self._reindex()

    def _try_to_put(self, stored: StoredRoute) -> None:
        try:
            self._put(stored)
        except Exception as error:  # whatever another version has stored
            reason = str(error) if isinstance(error, OpenClawNatsError) else repr(error)
            log.error("route.unusable", route=stored.name, error=reason)
            self._unusable[stored.name] = (stored, reason)

    def unusable(self) -> list[tuple[StoredRoute, str]]:
        """The routes that this version can't compile, by name, each with the reason."""
        return [found for _, found in sorted(self._unusable.items())]

    def why_missing(self, route_id: int) -> str:
        """Why a delivery's route is not there: it was removed, or can't be used."""
        for stored, reason in self._unusable.values():
            if stored.id == route_id:
                return f"its route can't be used by this version: {reason}"
        return "its route was removed"

    def get(self, route_id: int) -> Route | None:
        """A route by number; None when it was removed."""
        return self._routes.get(route_id)

    def named(self, name: str) -> tuple[Route, StoredRoute]:
        """A route by name; raise NotFound."""
        if name in self._unusable:
            reason = self._unusable[name][1]
            raise InvalidRoute(
                f"the route {name!r} can't be used by this version: {reason}", hint="Remove it, or save it again."
            )
        if name not in self._by_name:
            raise NotFound(f"there is no route {name[:80]!r}", hint="`openclaw-nats routes list` shows all of them.")
        number = self._by_name[name]
        return self._routes[number], self._stored[number]

    def name_of(self, route_id: int) -> str:
        """A route's name by its number; empty when it was removed."""
        route = self._routes.get(route_id)
        return route.name if route is not None else ""

    def every(self) -> list[tuple[Route, StoredRoute]]:
        """All routes by name, but for those of jobs and timers."""
        return [(self._routes[number], self._stored[number]) for _, number in sorted(self._by_name.items())]

    def expiring(self) -> list[str]:
        """The enabled routes whose events wait no longer than `expiresAfter`."""
        return sorted(one.name for one in self._routes.values() if one.document.enabled and one.policy.expires_after)

    def all_routes(self) -> list[Route]:
        """All routes, in no order."""
        return list(self._routes.values())

    def wanted(self) -> list[tuple[str, int]]:
        """The pattern of each enabled route, and the sequence after which it wants events."""
        routes = self._routes.values()
        return [(route.pattern, route.after_sequence) for route in routes if route.document.enabled]

    async def save(self, value: object, made_by: str = "", *, tainted: bool = False) -> tuple[Route, bool]:
        """Create the route, or replace the one of that name; (the route, whether it is new).

        `tainted`: somebody outside may have had a hand in what the agent that makes it says.
        A new route is for what is stored from now on, which needs the stream's end: raises Unavailable without NATS.
        """
        document = _guarded(parse(value))
        await self._try(document, made_by)
        await self._check_target(document)
        async with self._lock:
            return await self._save(document, made_by, tainted=tainted)

    async def _try(self, document: RouteDocument, made_by: str) -> None:
        """Raise InvalidRoute when its conditions can never work; what else there is to say, `trial_note` has."""
        route = compile_route(_without_mask(document), agents=self.agents)
        self._trial_notes.pop(route.name, None)
        if self.trial is None or made_by:
            check_possible(route)
        elif note := await self.trial.check(route):
            self._trial_notes[route.name] = note

    def trial_note(self, name: str) -> str:
        """What was found when a route was tried on events as it was saved, told once; empty for nothing."""
        return self._trial_notes.pop(name, "")

    async def _check_target(self, document: RouteDocument) -> None:
        """Raise InvalidRoute when the Gateway, asked now, has nobody who could answer the route's target."""
        target = without_mask(document.target)
        if found := not_a_session(target, self.agents):
            raise InvalidRoute(found[0], hint=found[1], field="target")
        if self.agents.known and not target_problem(target, self.agents)[0]:
            return
        if await self.ask_gateway():
            problem, hint = target_problem(target, self.agents)
            if problem:
                raise InvalidRoute(problem, hint=hint, field="target")

    def target_note(self, route: Route) -> str:
        """What is to be said of a route's target: nothing can answer it, or that could not be checked."""
        if not route.target.is_turn:
            return ""
        if not self.agents.known:
            return "not checked: the Gateway has not said yet which agents it has"
        return ": ".join(filter(None, target_problem(without_mask(route.document.target), self.agents)))

    async def follow_gateway(self, agents: Agents) -> None:
        """Take over who is there: targets that name no agent, or a main session, may lead elsewhere now."""
        if agents == self.agents or not agents.known:
            return
        async with self._lock:
            self.agents = agents
            text = msgspec.json.encode(agents).decode()
            await self._database.write(lambda db: inbox.set_fact(db, _AGENTS, text))
            for stored in await self._database.read(routes.every):
                if stored.id in self._routes:
                    self._try_to_put(stored)
            self._reindex()
        log.info("routes.agents", agents=len(agents.ids), default=agents.default, scope=agents.scope)

    def find(self, name: str) -> tuple[Route, StoredRoute] | None:
        """A route by name; None when there is none."""
        return self.named(name) if name in self._by_name else None

    def document(self, name: str) -> RouteDocument | None:
        """A saved route of that name, as it was given; None when there is none."""
        return self._routes[self._by_name[name]].document if name in self._by_name else None

    def by_number(self, number: int) -> tuple[Route, StoredRoute] | None:
        """A route by its number; None when there is none."""
        return (self._routes[number], self._stored[number]) if number in self._routes else None

    async def change(self, name: str, changes: object, *, tainted: bool = False) -> Route:
        """Change some fields of a route; null resets one to its default. `tainted` as in `save`."""
        if not isinstance(changes, dict):
            raise InvalidRoute("the changes must be a JSON object")
        async with self._lock:
            route, _ = self.named(name)
            merged = {**to_document(route.document), **changes}
            document = parse({key: value for key, value in merged.items() if value is not None})
            begins_to_wake = not route.target.is_turn and "target" in changes
            if begins_to_wake or _GUARDED & changes.keys():
                document = _guarded(document)
            compile_route(_without_mask(document), agents=self.agents)  # before anything of it is kept
            if _TRIED & changes.keys():
                await self._try(document, self._stored[route.id].made_by)
            if "target" in changes:
                await self._check_target(document)
            if document.name != name:
                raise InvalidRoute("name can't be changed: add a route of the new name, and remove this one")
            return (await self._save(document, "", tainted=tainted))[0]

    async def remove_ended(self) -> None:
        """Remove the routes whose `until` has come."""
        now = self._clock()
        for route in [one for one in self._routes.values() if one.until is not None and one.until <= now]:
            await self.remove(route.name, "its route has ended (until)")

    async def remove(self, name: str, reason: str = "its route was removed") -> None:
        """Remove a route; what waits for it is dropped, with that reason."""
        async with self._lock:
            number = self._unusable[name][0].id if name in self._unusable else self.named(name)[0].id
            before = to_document(self._routes[number].document) if number in self._routes else None
            await self._remove(name, number, reason, Act("routes.remove", name, before, reason=reason))
            if self._unusable.pop(name, None) is None:
                del self._by_name[name]

    async def _remove(self, name: str, number: int, reason: str, act: Act | None = None) -> None:
        """Remove a route, with a record; one of a job or timer goes with that, which has its own record."""
        now = self._clock()

        def job(db: Connection) -> list[str]:
            routes.remove(db, number)
            return inbox.end_route(db, number, reason, now)

        dropped = await self._trail.write(job, lambda _: act)
        self._flow.remove_route(number)
        self._flow.discard_retries(set(dropped))
        self._routes.pop(number, None)
        self._stored.pop(number, None)
        self._reindex()
        log.info("route.removed", route=name, reason=reason)

    def wakes(self) -> dict[str, Wake]:
        """What jobs and timers have; see WakeBook."""
        return {owner: wake_of(self._routes[number], self._stored[number]) for owner, number in self._by_owner.items()}

    async def put_wake(self, wake: Wake) -> None:
        """Create or replace the route of a job or timer; see WakeBook."""
        number = self._by_owner.get(wake.owner)
        if number is not None and wake_of(self._routes[number], self._stored[number]) == wake:
            return
        document = wake_document(wake)
        compile_route(document, agents=self.agents, owner=wake.owner)  # refused before anything is stored
        await self._check_target(document)
        async with self._lock:
            await self._save(document, wake.made_by, wake.owner)

    async def remove_wake(self, owner: str, reason: str) -> None:
        """Remove the route of a job or timer; see WakeBook."""
        async with self._lock:
            unusable = self._unusable.get(owner)
            number = unusable[0].id if unusable is not None else self._by_owner.get(owner)
            if number is not None:
                await self._remove(owner, number, reason)
            self._by_owner.pop(owner, None)
            self._unusable.pop(owner, None)

    async def is_done(self, owner: str) -> bool | None:
        """Whether everything of a job or timer has ended; see WakeBook."""
        number = self._by_owner.get(owner)
        states = await self._database.read(lambda db: listing.states_of_route(db, number or 0))
        return not states & {*OPEN, "dead"} if states else None

    async def follow_stream(self, stream: str, kept: int) -> None:
        """Tell which stream there is: of a new one every route gets what is behind the sequence `kept`."""
        if await self._database.write(lambda db: routes.follow_stream(db, stream, kept)):
            log.warning("routes.stream_is_new", kept=kept)
            for stored in await self._database.read(routes.every):
                if stored.id in self._routes:
                    self._try_to_put(stored)
            self._reindex()

    async def _save(
        self, document: RouteDocument, made_by: str, owner: str = "", *, tainted: bool = False
    ) -> tuple[Route, bool]:
        number = self._by_owner.get(owner) if owner else self._by_name.get(document.name)
        check_trusted(document, self._routes[number].document if number is not None else None)
        document = self._with_secret(document, self._routes.get(number or 0))
        old = self._routes.get(number) if number is not None else None
        if old is None:
            self._check_room(owner)
            if not owner:
                _check_visible(document.name)
        after = old.after_sequence if old is not None else 0
        if old is None or old.pattern != document.pattern or (document.enabled and not old.document.enabled):
            after = (await self._source.position())[1]
            if old is None and self.takeover is not None:
                after = await self.takeover.after(document.pattern, after)
        text = json.dumps(to_document(document))
        now = self._clock()
        act = None if owner else _saving(document, old)
        stored = await self._trail.write(
            lambda db: routes.save(db, document.name, text, after, made_by, now, owner, tainted=tainted), lambda _: act
        )
        route = self._put(stored)
        if self._unusable.pop(stored.name, None) is not None:
            for route_id, key, one in await self._database.read(inbox.waiting):
                if route_id == stored.id:
                    self._flow.add(route_id, key, one)
        self._reindex()
        log.info("route.saved", route=document.name, new=old is None)
        return route, old is None

    def _check_room(self, owner: str) -> None:
        if owner and len(self._by_owner) >= MAX_WAKES:
            raise InvalidRoute(f"there are {MAX_WAKES:,} jobs and timers that wake somebody already")
        if not owner and len(self._by_name) >= MAX_ROUTES:
            raise InvalidRoute(f"there are {MAX_ROUTES:,} routes already")

    @staticmethod
    def _with_secret(document: RouteDocument, old: Route | None) -> RouteDocument:
        """A route that was read and comes back has its secrets masked: it keeps those that it has."""
        target = document.target
        if not isinstance(target, WebhookTarget):
            return document
        if target.secret == MASK:
            if old is None or not old.target.secret:
                raise InvalidRoute(
                    f"target.secret is {MASK!r}, which stands for a secret that this route does not have",
                    field="target.secret",
                )
            target = msgspec.structs.replace(target, secret=old.target.secret)
        if MASK in target.url:
            url = unmasked(target.url, old.target.url if old is not None else "")
            if url is None:
                raise InvalidRoute(
                    f"target.url holds {MASK}, which stands for a secret that this route does not have in that place",
                    hint="Write the address with its secret; it is kept only for the same scheme, host and port.",
                    field="target.url",
                )
            target = msgspec.structs.replace(target, url=url)
        return msgspec.structs.replace(document, target=target)

    def _put(self, stored: StoredRoute) -> Route:
        route = compile_route(
            parse(json.loads(stored.document)),
            stored.id,
            stored.after_sequence,
            maker_of(stored.made_by),
            self.agents,
            stored.belongs_to,
        )
        route = dataclasses.replace(route, made_at=stored.created_at, tainted=stored.tainted)
        if route.maker is not None:
            self._flow.budgets.made_by_agent(stored.id)
        else:
            self._flow.budgets.made_by_operator(stored.id, route.document.priority)
        self._routes[stored.id] = route
        self._stored[stored.id] = stored
        if stored.belongs_to:
            self._by_owner[stored.belongs_to] = stored.id
        else:
            self._by_name[stored.name] = stored.id
        self._flow.set_route(stored.id, route.target.lane, route.policy, enabled=route.document.enabled)
        return route

    def _reindex(self) -> None:
        """The routes have changed. The index is made when it is needed, once for many changes."""
        self._stale = True
        self.changed.set()
        self.on_change()

    def _refresh(self) -> None:
        if self._stale:
            self._stale = False
            enabled = [route for route in self._routes.values() if route.document.enabled]
            self._index = RouteIndex(enabled)
            self._patterns = reduce_patterns(route.pattern for route in enabled)


def _saving(document: RouteDocument, old: Route | None) -> Act:
    before = to_document(old.document) if old is not None else None
    return Act("routes.add" if old is None else "routes.change", document.name, before, to_document(document))


def _guarded(document: RouteDocument) -> RouteDocument:
    """A route that is saved has a guard: only those from before there was one, which say nothing, have none."""
    return document if document.guard is not None else msgspec.structs.replace(document, guard="ask")


def _check_visible(name: str) -> None:
    """Refuse the name of a new route that does not show what it is; those of older versions stay."""
    if (shown := plain(name)) != name:
        raise InvalidRoute(
            f"name holds a character that is not seen, or that changes how others are: {shown}", field="name"
        )


async def _nobody_answers() -> bool:
    return False


def _without_mask(document: RouteDocument) -> RouteDocument:
    return msgspec.structs.replace(document, target=without_mask(document.target))
