"""The API key's file while the sidecar runs: `key rotate` replaces it, and what the old key had opened ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import structlog

from openclaw_nats.api.auth import Authority
from openclaw_nats.api.sign_in import SignIn
from openclaw_nats.audit.act import Act
from openclaw_nats.audit.acting import BUS, acting
from openclaw_nats.audit.trail import AuditTrail
from openclaw_nats.errors import Unavailable
from openclaw_nats.file_signature import signature
from openclaw_nats.settings.model import SHORTEST_KEY
from openclaw_nats.storage import dashboard_sessions
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.inbox import fact, set_fact

log = structlog.get_logger(__name__)

_FACT = "api-key"
_LOOK_SECONDS = 1.0


class ApiKeyFile:
    """Notices that the file holds another key, and calls `on_change` with it; one that is `fixed` stays."""

    def __init__(self, path: Path, key: str, *, fixed: bool = False) -> None:
        self._path = path
        self._key = key
        self._fixed = fixed
        self._seen = signature(path)
        self.on_change: Callable[[str], None] = lambda key: None

    def look(self) -> None:
        """Look at the file, unless it is the same as last time: that costs microseconds."""
        state = signature(self._path)
        if self._fixed or not state or state == self._seen:
            return
        self._seen = state
        try:
            key = self._path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            log.error("api_key.unreadable", error=str(error))
            return
        if len(key) < SHORTEST_KEY:
            log.error("api_key.too_short", file=str(self._path), shortest=SHORTEST_KEY)
        elif key != self._key:
            self._key = key
            self.on_change(key)

    async def run(self) -> None:
        """Look each second until cancelled: what was opened with the old key ends, although nobody calls."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()


def end_sessions_of_another_key(database: Database, trail: AuditTrail, secret: bytes, key: str) -> None:
    """At the start: sessions that were made while another key was in force are over, whoever replaced it, and how."""
    now = digest_of(secret, key)
    before = database.now(lambda db: fact(db, _FACT))
    if before and not hmac.compare_digest(before, now):
        ended = [row.id for row in database.now(dashboard_sessions.every)]
        database.now(lambda db: dashboard_sessions.remove(db, ended))
        trail.note_now(Act("key.changed", about="while the sidecar did not run", after={"sessionsEnded": ended}), BUS)
        log.warning("api_key.changed", sessions_ended=len(ended))
    if before != now:
        database.now(lambda db: set_fact(db, _FACT, now))


class KeyChange:
    """What follows when the key is another one: at once in memory, and then in the database."""

    def __init__(
        self,
        database: Database,
        trail: AuditTrail,
        secret: bytes,
        authority: Authority,
        sign_in: SignIn,
        end_answers: Callable[[], None],
    ) -> None:
        self._database = database
        self._trail = trail
        self._secret = secret
        self._authority = authority
        self._sign_in = sign_in
        self._end_answers = end_answers
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, key: str) -> None:
        """The key is another one from now on: connections, answers without an end and sessions of the old one end."""
        self._authority.change(key)
        self._end_answers()
        task = asyncio.get_running_loop().create_task(self._write(key, self._sign_in.forget_every()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, key: str, sessions: list[str]) -> None:
        """Sessions that can't be removed now are over all the same: the next start sees that the key is another."""

        def job(db: Connection) -> None:
            dashboard_sessions.remove(db, sessions)
            set_fact(db, _FACT, digest_of(self._secret, key))

        log.warning("api_key.changed", sessions_ended=len(sessions))
        try:
            with acting(BUS):
                await self._trail.write(job, Act("key.changed", after={"sessionsEnded": sessions}))
        except Unavailable as error:
            log.error("api_key.change_not_kept", error=str(error))


def digest_of(secret: bytes, key: str) -> str:
    """By what a key is known again: without `secret`, a copy of the database says nothing of it."""
    return hmac.new(secret, b"openclaw-nats api key\n" + key.encode(), hashlib.sha256).hexdigest()
