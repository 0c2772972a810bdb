"""Who is signed in to the dashboard: a one-time code becomes a session, and a session a cookie and a page's token.

A browser sends cookies to every port of a host, whoever listens there. The page's token is sent by the page alone,
which keeps it where pages of other ports can't read it. Neither of the two is worth anything without the other.

Codes live in memory for CODE_SECONDS and work once; of sessions the database holds hashes. So neither a copy of the
database nor an old link signs anybody in.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.acting import acting
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.storage import dashboard_sessions as rows
from openclaw_nats.storage.dashboard_sessions import SessionRow
from openclaw_nats.storage.database import Database

log = structlog.get_logger(__name__)

CODE_SECONDS = 120.0
MAX_CODES = 20
MAX_SESSIONS = 50
_SEEN_EVERY = 60.0
_TELL_EVERY = 10.0  # a visitor who guesses must not push everything else out of the log


class SignIn:
    """Codes and sessions. `lifetime` is how many seconds a session lasts."""

    def __init__(
        self,
        database: Database,
        lifetime: float,
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
    ) -> None:
        self._database = database
        self._trail = trail or Untraced(database)
        self._lifetime = lifetime
        self._clock = clock
        self._codes: dict[bytes, float] = {}
        self._refused, self._told = 0, 0.0
        longest = clock() + lifetime
        database.now(lambda db: rows.limit(db, longest))
        self._sessions = {row.token_hash: row for row in database.now(rows.every)}

    async def new_code(self) -> str:
        """A code for one sign-in within CODE_SECONDS; the oldest one ends when there are too many."""
        now = self._clock()
        self._codes = {code: ends for code, ends in self._codes.items() if self._valid(ends, now)}
        while len(self._codes) >= MAX_CODES:
            del self._codes[min(self._codes, key=self._codes.__getitem__)]
        code = secrets.token_urlsafe(32)
        await self._trail.write(lambda db: None, Act("dashboard.link"))
        self._codes[_hash(code)] = now + CODE_SECONDS
        return code

    async def redeem(self, code: str, browser: str) -> tuple[str, str, SessionRow] | None:
        """(the cookie's token, the page's token, the session) for a valid code, which then is used up; else None."""
        now = self._clock()
        if not self._valid(self._codes.pop(_hash(code), 0.0), now):
            self._refused += 1
            if not 0 <= now - self._told <= _TELL_EVERY:
                log.warning("dashboard.sign_in_refused", attempts=self._refused)
                self._refused, self._told = 0, now
            return None
        await self._end([row for row in self._sessions.values() if row.ends_at <= now])
        await self._end(sorted(self._sessions.values(), key=lambda row: row.seen_at)[: 1 - MAX_SESSIONS or None])
        token, page = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        row = SessionRow(secrets.token_hex(6), _hash(token), browser, now, now, now + self._lifetime, _hash(page))
        with acting(f"dashboard {row.id}"):
            await self._trail.write(lambda db: rows.add(db, row), Act("dashboard.sign-in", row.id, after=browser))
        self._sessions[row.token_hash] = row
        log.info("dashboard.signed_in", session=row.id)
        return token, page, row

    async def session(self, token: str, page: str) -> SessionRow | None:
        """The session of a cookie's and a page's token, or None when there is none (any more)."""
        row, now = self._sessions.get(_hash(token)), self._clock()
        if row is None or row.ends_at <= now or not hmac.compare_digest(row.page_hash, _hash(page)):
            return None
        self._limit(row, now)
        if now - row.seen_at > _SEEN_EVERY:
            row.seen_at = now
            await self._database.write(lambda db: rows.seen(db, row.id, now))
        return row

    def _limit(self, row: SessionRow, now: float) -> None:
        """One that began while the clock was ahead, or while sessions lasted longer, does not outlast others."""
        row.ends_at = min(row.ends_at, now + self._lifetime)
        row.seen_at = min(row.seen_at, now)

    @staticmethod
    def _valid(ends: float, now: float) -> bool:
        return now < ends <= now + CODE_SECONDS

    def lasts(self, session_id: str) -> bool:
        """Whether a session is still there; what it keeps open ends with it."""
        now = self._clock()
        return any(row.id == session_id and row.ends_at > now for row in self._sessions.values())

    def every(self) -> list[SessionRow]:
        """All sessions that are not over, the newest first."""
        now = self._clock()
        return sorted((row for row in self._sessions.values() if row.ends_at > now), key=lambda row: -row.made_at)

    async def end(self, session_id: str) -> bool:
        """Sign a browser out; False when there is no such session."""
        found = [row for row in self._sessions.values() if row.id == session_id]
        await self._end(found)
        return bool(found)

    def forget_every(self) -> list[str]:
        """No session and no code counts any more, as of now; which sessions those were. Their rows are still there."""
        names = [row.id for row in self._sessions.values()]
        self._codes.clear()
        self._sessions.clear()
        return names

    async def _end(self, ended: list[SessionRow]) -> None:
        for row in ended:
            self._sessions.pop(row.token_hash, None)
        if ended:
            names = [row.id for row in ended]
            act = Act("dashboard.sign-out", ", ".join(names))
            await self._trail.write(lambda db: rows.remove(db, names), act)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
