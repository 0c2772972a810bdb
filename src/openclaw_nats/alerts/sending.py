"""Alerts on their way: looked for, written down with who was told, and sent until the receiver takes them.

What a channel is told and that it was told are one commit, so that a kill neither loses a message nor makes it twice.
A message is sent at least once; its id is the same each time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import aiohttp
import structlog

from openclaw_nats.alerts import conditions as conditions_
from openclaw_nats.alerts import services
from openclaw_nats.alerts.book import ChannelBook, StoredChannel, check_channel, format_of
from openclaw_nats.alerts.content import content_of
from openclaw_nats.alerts.deciding import Condition, due, follow
from openclaw_nats.alerts.fleet import Fleet
from openclaw_nats.alerts.message import CONTENT_TYPES, render, render_test
from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail
from openclaw_nats.backoff import wait_after
from openclaw_nats.contract.alerts import AlertChannelRequest
from openclaw_nats.contract.health import Health
from openclaw_nats.errors import GiveUp, NotFound, RetryLater, Unavailable
from openclaw_nats.events.ids import uuid7
from openclaw_nats.gateway.webhook import Webhooks
from openclaw_nats.ports import Parcel
from openclaw_nats.storage import alerts as rows
from openclaw_nats.storage.database import Connection, Database

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
KEPT_SECONDS = 3 * 86400.0  # for so long a message is tried
_SEND_SECONDS = 0.5
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 600.0
_LONGEST_ERROR = 300


@dataclass
class Alerts:
    """Both tasks. `pages` is the dashboard's address, for the links; `stream_limit` is in bytes."""

    book: ChannelBook
    trail: Trail
    database: Database
    health: Callable[[], Awaitable[Health]]
    fleet: Fleet
    gateway_id: str
    pages: str
    stream_limit: int
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self.errors: dict[str, str] = {}
        self._sending: set[str] = set()

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {"alerts": self.look_on, "alert-sender": self.send_on}

    def notes(self) -> tuple[str, ...]:
        """What operators have to know of the channels themselves."""
        failing = [f"the alert channel {name} fails: {error}" for name, error in sorted(self.errors.items())]
        return (self.book.problem, *failing)

    async def look_on(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.debug("alerts.wait", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once; without a channel nobody is told, and nothing is kept."""
        channels = self.book.every()
        found: list[Condition] = []
        unknown: frozenset[str] = frozenset()
        if channels:
            found, unknown = conditions_.conditions(await self.health(), self.stream_limit, self.clock())
            away = await self.fleet.away()
            found += conditions_.away(away or [])
            unknown |= {"sidecar"} if away is None else set()
        await self.database.write(partial(self._decide, channels, found, unknown))

    def _decide(
        self, channels: list[StoredChannel], found: list[Condition], unknown: frozenset[str], db: Connection
    ) -> None:
        now = self.clock()
        known = {one.key: one for one in rows.conditions(db)}
        after = follow(known, found, unknown, now) if channels else {}
        if after != known:
            rows.put_conditions(db, after.values())
        for channel in channels:
            if channel.paused:
                continue
            policy = check_channel(channel.wanted)
            told = {one.key: one for one in rows.told(db, channel.name)}
            digest = due(policy, after, told, rows.last_made(db, channel.name), now)
            if digest is None:
                continue
            held = partial(content_of, db) if channel.wanted.content else None
            title, body = render(digest, self.gateway_id, self.pages, format_of(channel.wanted), now, held)
            rows.add_message(db, rows.MessageRow(str(uuid7(int(now * 1000))), channel.name, title, body, now, now))
            lasting = [
                rows.ToldRow(one.key, one.kind, one.text, one.page, now) for one in (*digest.raised, *digest.again)
            ]
            rows.put_told(db, channel.name, lasting, [one.key for one in digest.recovered])

    async def send_on(self) -> None:
        """Send what waits, of each channel one at a time, until cancelled: one that stalls delays no other."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    waiting = await self.database.read(partial(rows.due, now=self.clock()))
                except Unavailable as error:
                    log.debug("alerts.wait", error=str(error))
                    waiting = []
                for one in waiting:
                    if one.channel not in self._sending:
                        self._sending.add(one.channel)
                        group.create_task(self._send(one), name=f"alert-{one.channel}")
                await asyncio.sleep(_SEND_SECONDS)

    async def _send(self, message: rows.MessageRow) -> None:
        try:
            channel = self.book.named(message.channel)
            if channel.paused:
                return
            now = self.clock()
            error = await self._attempt(channel, message.id, message.title, message.body)
            wait = wait_after(message.attempts, _FIRST_WAIT, _LONGEST_WAIT)
            over = not error or now - message.made_at >= KEPT_SECONDS
            ended = now if over else None
            await self.database.write(
                partial(rows.put_attempt, message_id=message.id, error=error, next_at=now + wait, ended_at=ended)
            )
        except NotFound:
            await self._forget(message.channel)  # it was removed a moment ago
        except Unavailable as problem:
            log.debug("alerts.wait", error=str(problem))
        finally:
            self._sending.discard(message.channel)

    async def test(self, name: str) -> str:
        """Send a test message at once; why it was not taken, or nothing."""
        channel, now = self.book.named(name), self.clock()
        title, body = render_test(self.gateway_id, format_of(channel.wanted), now)
        async with self.trail.around(Act("alerts.test", name)):
            return await self._attempt(channel, str(uuid7(int(now * 1000))), title, body)

    async def _attempt(self, channel: StoredChannel, key: str, title: str, body: str) -> str:
        error = await self._sent(channel.wanted, key, title, body)
        if not error:
            self.errors.pop(channel.name, None)
            return ""
        if channel.name not in self.errors:
            log.warning("alerts.channel_fails", channel=channel.name, error=error)
        self.errors[channel.name] = error[:_LONGEST_ERROR]
        return self.errors[channel.name]

    async def _sent(self, wanted: AlertChannelRequest, key: str, title: str, body: str) -> str:
        """Why a message was not taken; empty when it was. Who refuses may be put right: it is tried again."""
        if services.is_service(wanted.to):
            return await services.send(wanted.to, title, body.removeprefix(f"{title}\n") or body)
        parcel = Parcel(
            key=key,
            dispatch=key,
            route="",
            kind="webhook",
            text=body,
            events=0,
            hops=0,
            trusted=False,
            confirm="",
            url=wanted.to,
            secret=wanted.secret,
            content_type=CONTENT_TYPES[format_of(wanted)],
        )
        try:
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
                await Webhooks(session).send(parcel)
        except (RetryLater, GiveUp) as problem:
            return str(problem)
        return ""

    async def waiting(self) -> Counter[str]:
        """How many messages wait, by channel."""
        return Counter(await self.database.read(rows.waiting))

    async def conditions(self) -> list[rows.ConditionRow]:
        """What is wrong now."""
        return [one for one in await self.database.read(rows.conditions) if one.over_at is None]

    async def history(self, name: str, limit: int) -> list[rows.MessageRow]:
        """The messages to a channel, the newest first."""
        return await self.database.read(partial(rows.history, channel=self.book.named(name).name, limit=limit))

    async def remove(self, name: str) -> None:
        """A channel and all that was kept for it are gone."""
        await self.book.remove(name)
        await self._forget(name)

    async def _forget(self, name: str) -> None:
        self.errors.pop(name, None)
        await self.database.write(partial(rows.forget, channel=name))
