"""`/api/deliveries`, `/api/pending`, `/api/dead`, `/api/receipts`: list, show one, retry, drop, redrive."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openclaw_nats.api.json_answers import json_body, json_response
from openclaw_nats.api.problems import Malformed
from openclaw_nats.api.queries import filters_of, limit_of, number_of, parameters
from openclaw_nats.contract.checking import check
from openclaw_nats.contract.deliveries import (
    BulkFilters,
    Carried,
    Change,
    Deliveries,
    Delivery,
    DeliveryDetail,
    Dropped,
    Receipt,
    ReceiptDetail,
    Receipts,
    Redriven,
    Retried,
)
from openclaw_nats.events.envelope import format_past, format_seconds
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.storage import listed
from openclaw_nats.storage.listed import Filters, ListedDelivery, ListedDispatch
from openclaw_nats.storage.rows import OPEN, STATES

_FILTERS = ("route", "subject", "session", "search", "since", "until")
_LIST = (*_FILTERS, "limit", "cursor")
_DEAD = ("dead",)


class DeliveryEndpoints:
    """The handlers, around the inbox service."""

    def __init__(self, inbox: InboxService) -> None:
        self._inbox = inbox

    async def every(self, request: Request) -> Response:
        """All deliveries, in whatever state; `event` picks those of one event, `state` those in one state."""
        query = parameters(request, (*_LIST, "state", "event"))
        return await self._list(query, _states(query, STATES))

    async def one(self, request: Request) -> Response:
        """One delivery, in whatever state, with its event and its history."""
        return json_response(_detail(await self._inbox.delivery(_number(request), STATES)))

    async def pending(self, request: Request) -> Response:
        """Deliveries in progress: pending, sending, failed (will be tried again). `state` picks one of them."""
        query = parameters(request, (*_LIST, "state"))
        return await self._list(query, _states(query, OPEN))

    async def dead(self, request: Request) -> Response:
        """The dead letters."""
        return await self._list(parameters(request, _LIST), _DEAD)

    async def one_pending(self, request: Request) -> Response:
        """One delivery in progress, with its event and its history."""
        return json_response(_detail(await self._inbox.delivery(_number(request), OPEN)))

    async def one_dead(self, request: Request) -> Response:
        """One dead letter, with its event and its history."""
        return json_response(_detail(await self._inbox.delivery(_number(request), _DEAD)))

    async def retry(self, request: Request) -> Response:
        """Try a failed delivery again now."""
        await self._inbox.retry(_number(request))
        return json_response(Retried(1))

    async def drop(self, request: Request) -> Response:
        """Drop a delivery that waits, or a dead letter."""
        return json_response(Dropped(await self._inbox.drop(_number(request))))

    async def redrive_one(self, request: Request) -> Response:
        """Make one dead letter wait again."""
        return json_response(Redriven(await self._inbox.redrive(Filters(), _number(request))))

    async def redrive(self, request: Request) -> Response:
        """Make dead letters wait again, by route, subject, session, search or time; at most 10,000 at once."""
        return json_response(Redriven(await self._inbox.redrive(await _bulk(request))))

    async def drop_dead(self, request: Request) -> Response:
        """Drop dead letters, by route, subject, session, search or time; at most 10,000 at once."""
        return json_response(Dropped(await self._inbox.drop_dead(await _bulk(request))))

    async def receipts(self, request: Request) -> Response:
        """What was delivered: a receipt a dispatch."""
        query = parameters(request, ("route", "since", "until", "limit", "cursor"))
        limit = limit_of(query)
        cursor = query.get("cursor")
        if cursor is not None and (len(cursor) > 64 or not cursor.isprintable()):
            raise Malformed("cursor must be one that an answer held")
        rows = await self._inbox.receipts(filters_of(query), cursor, limit)
        following = rows[-1].id if len(rows) == limit else None
        return json_response(Receipts([Receipt(**_receipt(row)) for row in rows], following))

    async def one_receipt(self, request: Request) -> Response:
        """One receipt with its text and what it carried."""
        row = await self._inbox.receipt(request.path_params["id"])
        carried = [Carried(one.id, one.event_id, one.subject) for one in row.deliveries]
        history = _history(row.changes)
        return json_response(ReceiptDetail(**_receipt(row), text=row.body, deliveries=carried, history=history))

    async def _list(self, query: dict[str, str], states: tuple[str, ...]) -> Response:
        limit = limit_of(query)
        cursor = number_of(query["cursor"], "cursor") if "cursor" in query else None
        filters = filters_of(query, states)
        rows = await self._inbox.deliveries(filters, cursor, limit)
        following = str(rows[-1].id) if len(rows) == limit else None
        total = await self._inbox.total(filters)
        return json_response(Deliveries([Delivery(**_delivery(row)) for row in rows], following, total))


def _states(query: dict[str, str], known: tuple[str, ...]) -> tuple[str, ...]:
    if "state" not in query:
        return known
    if query["state"] not in known:
        raise Malformed(f"state must be one of {', '.join(known)}")
    return (query["state"],)


def _number(request: Request) -> int:
    return number_of(request.path_params["id"], "the delivery's number")


async def _bulk(request: Request) -> Filters:
    filters = check(await json_body(request), BulkFilters, "the body (an empty object means all)", Malformed)
    return filters_of(msgspec.structs.asdict(filters))


def _time(seconds: float | None) -> str | None:
    return format_seconds(seconds) if seconds else None


def _past(seconds: float | None) -> str | None:
    return format_past(seconds) if seconds else None


def _delivery(row: ListedDelivery) -> dict[str, Any]:
    """The fields of Delivery."""
    return {
        "id": row.id,
        "event": row.event_id,
        "route": row.route,
        "subject": row.subject,
        "session": row.session,
        "state": row.state,
        "reason": row.reason,
        "until": _time(row.until),
        "priority": row.priority,
        "hops": row.hops,
        "origin": row.origin,
        "tainted": bool(row.tainted),
        "stored_at": _past(row.stored_at),
        "arrived_at": _past(row.arrived_at),
        "changed_at": _past(row.changed_at),
        "dispatch": row.dispatch_id,
    }


def _history(changes: list[listed.Change]) -> list[Change]:
    return [Change(_past(one.at), one.state, one.reason) for one in changes]


def _detail(row: listed.DeliveryDetail) -> DeliveryDetail:
    first = Change(_past(row.arrived_at), "pending", "taken into the inbox")
    history = _history(row.changes)
    born_dead = bool(history) and row.changes[0].at == row.arrived_at and history[0].state != "sending"
    dispatch = row.dispatch
    return DeliveryDetail(
        **_delivery(row),
        document=msgspec.Raw(row.document) if row.document else None,
        history=history if born_dead else [first, *history],
        text=dispatch.body if dispatch else None,
        attempts=dispatch.attempts if dispatch else 0,
    )


def _receipt(row: ListedDispatch) -> dict[str, Any]:
    """The fields of Receipt."""
    return {
        "id": row.id,
        "route": row.route,
        "state": row.state,
        "outcome": row.outcome,
        "way": row.way,
        "run_id": row.run_id,
        "reply": row.reply,
        "events": row.events,
        "attempts": row.attempts,
        "runs": row.runs,
        "hops": row.hops,
        "created_at": _past(row.created_at),
        "ended_at": _past(row.changed_at),
    }
