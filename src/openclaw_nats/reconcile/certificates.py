"""The certificate of a Gateway: recording every minute, verifying once a day and when somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec
import structlog

from openclaw_nats.contract.verify import Certificate, CertificateState, CertifiedDay
from openclaw_nats.errors import Conflict, Unavailable
from openclaw_nats.ports import StreamView
from openclaw_nats.reconcile.book import Book
from openclaw_nats.reconcile.recorder import Recorder, day_of
from openclaw_nats.reconcile.verifier import Verifier
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

log = structlog.get_logger(__name__)

RECORD_SECONDS = 60.0
MOST_DAYS = 31
_FACT = "certificate"


class Certificates:
    """Keeps the newest certificate; one is made at a time."""

    def __init__(
        self,
        database: Database,
        book: Book,
        stream: StreamView,
        waiting: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._book = book
        self._clock = clock
        self._recorder = Recorder(book, stream)
        self._verifier = Verifier(book, stream, self._recorder, waiting)
        self._verifier.progress = self._tell
        self._wanted = asyncio.Event()
        self._since: float | None = None
        self._running = False
        self._failure = ""
        self._progress = (0, 0)
        self._last: Certificate | None = None

    async def run(self) -> None:
        """Record and verify until cancelled."""
        self._last = await self._load()
        while True:
            try:
                if self._wanted.is_set() or self._is_due():
                    await self._verify()
                else:
                    await self._recorder.record()
            except Unavailable as error:
                log.debug("certificate.wait", error=str(error))
            try:
                async with asyncio.timeout(RECORD_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    def ask(self, since: float | None) -> None:
        """Have a certificate made; raise Conflict while one is."""
        if self._running:
            raise Conflict("a verification is running", hint="`openclaw-nats verify` waits for it.")
        self._since, self._running, self._failure, self._progress = since, True, "", (0, 0)
        self._wanted.set()

    async def state(self) -> CertificateState:
        """The newest certificate, the days, and whether one is being made."""
        checked, total = self._progress
        days = [msgspec.json.decode(text, type=CertifiedDay) for text in await self._book.records("day", MOST_DAYS)]
        return CertificateState(self._running, checked, total, self._failure, self._last, days)

    async def _verify(self) -> None:
        since, self._since = (self._since, None) if self._wanted.is_set() else (None, None)
        self._running, self._failure = True, ""
        try:
            found = await self._verifier.certificate(since, self._clock())
            text = msgspec.json.encode(found).decode()
            await self._database.write(lambda db: inbox.set_fact(db, _FACT, text))
            self._last = found
        except Exception as error:
            self._failure = str(error) if isinstance(error, Unavailable) else "a fault in openclaw-nats: see its log"
            raise
        finally:
            self._running = False
            self._wanted.clear()
        if not found.sound:
            log.error("certificate.not_sound", problem=found.problem, differing=found.differing)

    async def _load(self) -> Certificate | None:
        text = await self._database.read(lambda db: inbox.fact(db, _FACT))
        try:
            return msgspec.json.decode(text, type=Certificate) if text else None
        except msgspec.MsgspecError:  # of another version
            return None

    def _is_due(self) -> bool:
        return self._last is None or self._last.at[:10] != day_of(self._clock())

    def _tell(self, checked: int, total: int) -> None:
        self._progress = (checked, total)
