"""Looking through the stream, put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats.api.run_endpoints import RunEndpoints
from openclaw_nats.api.search_endpoints import SearchEndpoints
from openclaw_nats.audit.trail import Trail
from openclaw_nats.insight.history import History
from openclaw_nats.insight.indexer import Indexer
from openclaw_nats.insight.runs import Runs
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.locations import Locations
from openclaw_nats.service.inbound_parts import Inbound
from openclaw_nats.settings import Settings
from openclaw_nats.storage import costs
from openclaw_nats.storage.event_index import EventIndex


@dataclass
class HistoryParts:
    """What the app serves; `runs` are the tasks that it needs."""

    history: History
    indexer: Indexer
    endpoints: SearchEndpoints
    run_endpoints: RunEndpoints

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"index": self.indexer.run}

    async def close(self) -> None:
        """After the tasks."""
        await asyncio.gather(self.indexer.close(), self.history.close())


def build_history(settings: Settings, inbound: Inbound, event_log: JetStreamEventLog, trail: Trail) -> HistoryParts:
    """Wire the index and what asks it."""
    index = EventIndex(Locations(settings.home).event_index, settings.index.max_bytes)
    indexer = Indexer(index, event_log, inbound.source)
    history = History(indexer, event_log)
    runs = Runs(
        history,
        event_log,
        {name: dict(kinds) for name, kinds in settings.budget.prices},
        routes_of=lambda ids: inbound.database.read(lambda db: costs.routes_of(db, ids)),
    )
    return HistoryParts(history, indexer, SearchEndpoints(history, indexer, trail), RunEndpoints(runs))
