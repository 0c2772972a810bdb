"""Hooks that have stopped: the plugin's reports are compared with a history on disk, and each episode is told once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog
from msgspec import Struct, field

from openclaw_nats.contract.plugin import PluginReport
from openclaw_nats.errors import Unavailable
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.ids import uuid7
from openclaw_nats.health.hook_history import Change, History, problems, take
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

log = structlog.get_logger(__name__)

STOPPED = "agent.events.bus.hooks_stopped"
BACK = "agent.events.bus.hooks_back"
_FACT = "hook-history"
_LOOK_SECONDS = 2.0
_MOST_REPORTS = 4  # of different processes; of each the newest has all
_MOST_NOTICES = 20
_SINCE_SECONDS = 5.0


class _Notice(Struct):
    """A change on its way into the stream; `at` in milliseconds since the Unix epoch."""

    event: str
    at: int
    change: Change


class _Kept(Struct):
    """What is on disk: a notice is there with the change that it tells of."""

    history: History = field(default_factory=History)
    notices: list[_Notice] = field(default_factory=list)


class HookWatch:
    """Takes reports at once and looks at them soon; what a kill loses of them is in the next one."""

    def __init__(
        self,
        database: Database,
        events: EventLog,
        identity: Identity,
        gateway_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._events = events
        self._identity = identity
        self._gateway_id = gateway_id
        self._clock = clock
        self._reports: dict[str, PluginReport] = {}
        self._changed = False
        self._kept = _read(database.now(lambda db: inbox.fact(db, _FACT)))

    def receive(self, report: PluginReport) -> None:
        """Take a report over; one of an older plugin counts nothing."""
        if not report.hooks:
            return
        self._reports[report.started_at] = report
        if len(self._reports) > _MOST_REPORTS:
            del self._reports[next(iter(self._reports))]

    def problems(self) -> dict[str, str]:
        """The kinds that have stopped, each with a sentence for the operator."""
        return problems(self._kept.history)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.debug("hooks.wait", error=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Compare, keep it, then tell; raise Unavailable, and what is left is done the next time."""
        reports, self._reports = self._reports, {}
        for report in reports.values():
            new, changes = take(self._kept.history, report, self._clock())
            self._changed |= new
            for change in changes:
                log.warning("hooks.back" if change.back else "hooks.stopped", **change.data)
                at = int(self._clock() * 1000)
                self._kept.notices = [*self._kept.notices, _Notice(uuid7(at), at, change)][-_MOST_NOTICES:]
        if self._changed:
            await self._keep()
        while self._kept.notices:
            await self._publish(self._kept.notices[0])
            del self._kept.notices[0]
            await self._keep()

    async def _publish(self, notice: _Notice) -> None:
        message = bus_message(
            self._identity,
            self._gateway_id,
            BACK if notice.change.back else STOPPED,
            notice.change.data,
            event_id=notice.event,
            milliseconds=notice.at,
        )
        if message.id not in await self._events.stored_since(notice.at / 1000 - _SINCE_SECONDS, [message]):
            await self._events.append([message])

    async def _keep(self) -> None:
        text = msgspec.json.encode(self._kept).decode()
        self._changed = True
        await self._database.write(lambda db: inbox.set_fact(db, _FACT, text))
        self._changed = False


def _read(text: str) -> _Kept:
    """What is on disk; nothing when another version wrote it in a way of its own."""
    try:
        return msgspec.json.decode(text, type=_Kept) if text else _Kept()
    except msgspec.MsgspecError as error:
        log.warning("hooks.history_unreadable", error=str(error))
        return _Kept()
