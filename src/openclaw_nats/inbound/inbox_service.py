"""What the operator does with the inbox: look, retry now, drop, redrive."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract.deliveries import DeliveryRef, WokenBy
from openclaw_nats.errors import InvalidInput, NotFound
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.stream_contents import StreamContents
from openclaw_nats.storage import activity, inbox, listing
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.listed import (
    Carried,
    DeliveryDetail,
    Filters,
    ListedChange,
    ListedDelivery,
    ListedDispatch,
    RouteFigures,
)
from openclaw_nats.storage.rows import OPEN, Waiting

MAX_BULK = 10_000
_SHORT_ID = 8
BY_OPERATOR = "dropped by the operator"


class InboxService:
    """Reads and steers the inbox; deliveries are named by their numbers, dispatches by their ids."""

    def __init__(
        self,
        database: Database,
        book: RouteBook,
        flow: FlowControl,
        meters: InboundMeters,
        wake: Callable[[], None],
        contents: StreamContents | None = None,
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> None:
        self._database = database
        self._trail = trail or Untraced(database)
        self._book = book
        self._flow = flow
        self._meters = meters
        self._wake = wake
        self._contents = contents
        self._clock = clock

    async def deliveries(self, filters: Filters, cursor: int | None, limit: int) -> list[ListedDelivery]:
        """Deliveries, newest first; what waits says why and until when."""
        rows = await self._database.read(lambda db: listing.deliveries(db, filters, cursor, limit))
        for row in rows:
            self._explain(row)
        return rows

    async def total(self, filters: Filters) -> int:
        """How many deliveries the filters let through."""
        return await self._database.read(lambda db: listing.total(db, filters))

    async def changes(self, filters: Filters, cursor: int | None, limit: int) -> list[ListedChange]:
        """Changes of deliveries, newest first."""
        return await self._database.read(lambda db: activity.changes(db, filters, cursor, limit))

    async def by_subject(self) -> dict[str, dict[str, int]]:
        """How many deliveries of each subject there are, by state."""
        return await self._database.read(activity.by_subject)

    async def delivery(self, number: int, states: tuple[str, ...]) -> DeliveryDetail:
        """One delivery with event, history and dispatch; raise NotFound.

        Of one that has ended the event comes from the stream: None when that keeps it no longer.
        """
        found = await self._database.read(lambda db: listing.delivery(db, number))
        if found is None or found.state not in states:
            where = f"delivery {number} is {found.state}" if found else f"there is no delivery {number}"
            raise NotFound(
                where, hint="`pending` shows deliveries in progress, `dead` the dead letters, `receipts` the rest."
            )
        self._explain(found)
        if found.document is None:
            found.document = await self._from_stream(found)
        if found.dispatch and not found.dispatch.body and found.document:
            found.dispatch.body = found.document.decode()
        return found

    async def _from_stream(self, row: DeliveryDetail | Carried) -> bytes | None:
        if self._contents is None:
            return None
        return await self._contents.document(row.sequence, row.place)

    def _explain(self, row: ListedDelivery) -> None:
        """Why a delivery waits is not stored: it follows from the others that wait, and from the time."""
        if row.state == "pending":
            row.reason, row.until = self._flow.explain(row.route_id, row.flow_key, self._clock(), row.replay)
        elif row.state == "failed" and (held := self._flow.held(row.route_id, self._clock()))[1]:
            row.reason = f"{held[1]}; the last attempt: {row.reason}"
            row.until = held[0] if held[0] != float("inf") else None

    async def of_events(self, ids: Sequence[str]) -> dict[str, list[DeliveryRef]]:
        """For each event id (at most 500) its deliveries."""
        return await self._database.read(lambda db: listing.of_events(db, ids))

    async def woken_by(self, dispatch: str) -> list[WokenBy]:
        """The events that went out in a dispatch, at most 100."""
        return await self._database.read(lambda db: listing.of_dispatch(db, dispatch))

    async def receipts(self, filters: Filters, cursor: str | None, limit: int) -> list[ListedDispatch]:
        """Receipts, newest first."""
        return await self._database.read(lambda db: listing.receipts(db, filters, cursor, limit))

    async def receipt(self, dispatch: str) -> ListedDispatch:
        """One receipt with what it carried, by its id or the beginning of it (8 characters or more); raise NotFound."""
        found = await self._database.read(lambda db: listing.receipt(db, dispatch))
        if found is None and len(dispatch) >= _SHORT_ID:
            like = await self._database.read(lambda db: listing.receipts_like(db, dispatch))
            if len(like) > 1:
                raise NotFound(f"several receipts begin with {dispatch[:60]!r}", hint=f"Such as {', '.join(like)}.")
            if like:
                found = await self._database.read(lambda db: listing.receipt(db, like[0]))
        if found is None:
            raise NotFound(f"there is no receipt {dispatch[:60]!r}", hint="`openclaw-nats receipts` lists them.")
        if not found.body and found.deliveries:  # what was sent was the event as it is in the stream
            found.body = (await self._from_stream(found.deliveries[0]) or b"").decode()
        return found

    async def states(self) -> dict[str, int]:
        """How many deliveries there are in each state."""
        return await self._database.read(listing.states)

    async def counts(self, route_id: int | None = None) -> dict[int, RouteFigures]:
        """Each route's (or one's) deliveries by state, dispatches and runs, and since when the oldest waits."""
        return await self._database.read(lambda db: listing.counts(db, route_id))

    async def retry(self, number: int) -> None:
        """Try a failed delivery again now; raise NotFound, or InvalidInput when it does not wait."""
        found = await self.delivery(number, OPEN)
        if found.state != "failed" or found.dispatch is None:
            raise InvalidInput(f"delivery {number} is {found.state}: only a failed one waits for another attempt")
        await self._trail.write(lambda db: None, Act("pending.retry", _named(found)))
        self._flow.hurry({found.dispatch.id})
        self._wake()

    async def drop(self, number: int) -> int:
        """A waiting or dead delivery is not wanted any more, nor are those in the same dispatch; how many that were."""
        found = await self.delivery(number, (*OPEN, "dead"))
        now = self._clock()
        if found.state == "sending":
            raise InvalidInput(f"delivery {number} is being sent at this moment", hint="Wait for its outcome.")
        if found.state == "failed" and found.dispatch is not None:
            dispatch = found.dispatch.id
            act = Act("pending.drop", _named(found), after={"dropped": len(found.dispatch.deliveries)})
            if not await self._trail.write(
                lambda db: inbox.end_dispatch(db, dispatch, "dropped", BY_OPERATOR, now),
                lambda ended: act if ended else None,
            ):
                raise InvalidInput(f"delivery {number} is being sent at this moment", hint="Wait for its outcome.")
            self._flow.discard_retries({dispatch})
            count = len(found.dispatch.deliveries)
        elif found.state == "dead":
            count = await self._drop(lambda db: [number], "dead", _named(found))
        else:
            count = await self._drop(lambda db: [number], "pending", _named(found))
            self._flow.discard({number})
        self._meters.ended(found.route, "dropped", count)
        self._wake()
        return count

    async def drop_dead(self, filters: Filters) -> int:
        """Drop dead letters in bulk; how many."""
        wanted = dataclasses.replace(filters, states=("dead",))
        return await self._drop(lambda db: listing.numbers(db, wanted, MAX_BULK), "dead", _selected(filters))

    async def _drop(self, which: Callable[[Connection], list[int]], was: str, about: str) -> int:
        now = self._clock()
        ended = await self._trail.write(
            lambda db: inbox.end(db, which(db), "dropped", BY_OPERATOR, now, was),
            lambda ended: Act(f"{was}.drop", about, after={"dropped": len(ended)}) if ended else None,
        )
        return len(ended)

    async def redrive(self, filters: Filters, number: int | None = None) -> int:
        """Dead letters wait again, as if they had just come; how many. Those of a removed route stay dead."""
        now = self._clock()
        wanted = dataclasses.replace(filters, states=("dead",))

        def job(db: Connection) -> list[tuple[int, str, Waiting]]:
            numbers = [number] if number is not None else listing.numbers(db, wanted, MAX_BULK)
            known = [one for one in numbers if self._book.get(listing.route_of(db, one)) is not None]
            return inbox.revive(db, known, "redriven by the operator", now)

        about = _selected(filters) if number is None else _named(await self.delivery(number, ("dead",)))
        revived = await self._trail.write(
            job, lambda found: Act("dead.redrive", about, after={"redriven": len(found)}) if found else None
        )
        for route_id, key, one in revived:
            self._flow.add(route_id, key, one)
        self._wake()
        return len(revived)


def _named(found: DeliveryDetail) -> str:
    return f"delivery {found.id} of the route {found.route}"


def _selected(filters: Filters) -> str:
    """What a bulk act was about: the filters that were given."""
    given = {one.name: getattr(filters, one.name) for one in dataclasses.fields(filters) if one.name != "states"}
    times = {name: format_seconds(given.pop(name)) for name in ("since", "until") if given.get(name)}
    return ", ".join(f"{name} {value}" for name, value in (given | times).items() if value) or "all"
