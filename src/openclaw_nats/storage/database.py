"""One SQLite file: WAL, synchronous FULL, one writer thread with group commit, one reader thread, numbered migrations.

`write` returns after the commit that holds it, so what it did survives `kill -9` and a power cut. Writes that wait at
the same moment share one commit; each has a savepoint of its own, so that one that fails does not take others along.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from openclaw_nats.errors import SettingsError, Unavailable
from openclaw_nats.events.subjects import matches
from openclaw_nats.storage.space import LOG_BYTES, room

log = structlog.get_logger(__name__)

T = TypeVar("T")
Connection = sqlite3.Connection
MIGRATIONS = Path(__file__).parent / "migrations"
_GROUP = 512
_BUSY_SECONDS = 5.0

_SHORT_WAIT = 200  # milliseconds
_CHECKED_AT_START = 128 << 20  # bytes: about half a second
_CONVERTED_AT_START = 64 << 20  # bytes: less than a second of VACUUM

_Job = tuple[Callable[[sqlite3.Connection], object], "asyncio.Future[object]", bool]


class Database:
    """An open database; `write` and `read` take a function of a connection and run it off the event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_error = ""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(1, "sqlite-reader")
        self._local = threading.local()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._at_once: sqlite3.Connection | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            self._connection = _open(path)
            _check_small(self._connection, path)
            _migrate(self._connection, path)
            _convert_small(self._connection, path)
            self._quick = _open(path)
            for pragma in ("synchronous=NORMAL", "wal_autocheckpoint=0", "busy_timeout=0"):  # it waits for nothing
                self._quick.execute(f"PRAGMA {pragma}")
        except sqlite3.DatabaseError as error:
            raise SettingsError(f"the database {path} can't be opened: {error}", hint=_hint(error)) from None
        self._thread = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in a transaction and return its result after the commit; raise Unavailable if nothing was kept."""
        return await self._put(job, alone=False)

    def submit(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """As `write`, for who waits by himself."""
        return self._send(job, alone=False)

    async def convert(self) -> None:
        """Rewrite the file so that it can give free space back in steps; raise Unavailable.

        Versions up to 0.1.0 made files that can't. It takes about ten seconds for each GiB, for which writes wait,
        and needs as much free disk again. Reads go on.
        """
        await self._put(_convert, alone=True)

    async def give_back(self, pages: int) -> None:
        """Return so many free pages (at most) to the disk; the file is shorter after the next checkpoint."""

        def job(connection: sqlite3.Connection) -> None:  # `execute` would do one page: the pragma has no columns
            connection.executescript(f"PRAGMA incremental_vacuum({pages})")

        await self._put(job, alone=True)

    async def checkpoint(self) -> None:
        """Bring what stands in the write-ahead log into the file, which then is as short as it can be."""
        await self._put(_checkpoint, alone=True)

    async def _put(self, job: Callable[[sqlite3.Connection], T], *, alone: bool) -> T:
        return await self._send(job, alone=alone)

    def _send(self, job: Callable[[sqlite3.Connection], T], *, alone: bool) -> asyncio.Future[T]:
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((job, future, alone))  # type: ignore[arg-type]
        return future

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on a connection of its own, which sees every commit that was answered before."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)

    def now(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in a transaction in the caller's thread: for the start, before there is an event loop.

        Somebody else may write at that moment, our own thread or a command beside the sidecar: one waits for the other.
        So it has a connection of its own.
        """
        if self._at_once is None:
            self._at_once = _open(self.path)
        connection = self._at_once
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.DatabaseError):  # a full disk has ended it
                connection.execute("ROLLBACK")
            raise
        return result

    def write_quickly(self, job: Callable[[sqlite3.Connection], T]) -> T | None:
        """Run `job` in a transaction at once, in the caller's thread, without a wait for the disk: no kill undoes it, a
        power cut may until the next `write`. None, and nothing done, while somebody else writes or it can't be done.
        """
        try:
            self._quick.execute("BEGIN IMMEDIATE")
            result = job(self._quick)
            self._quick.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.DatabaseError):  # it had not begun, or a full disk has ended it
                self._quick.execute("ROLLBACK")
            if isinstance(error, sqlite3.DatabaseError):
                return None
            raise
        return result

    def read_now(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job`, which only reads, at once in the caller's thread; it waits for no writer. Raises Unavailable."""
        return self._read(job)

    def close(self) -> None:
        """Finish what waits, then close."""
        self._jobs.put(None)
        self._thread.join(10)
        if self._at_once is not None:
            self._at_once.close()
        self._quick.close()
        self._readers.shutdown(wait=True)

    def _read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _open(self.path)
        try:
            return job(connection)
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"the database can't be read: {error}") from error

    def _write_loop(self) -> None:
        while True:
            first = self._jobs.get()
            if first is None:
                break
            if first[2]:
                self._do_alone(first)
                continue
            jobs, ending = [first], False
            alone: _Job | None = None
            while len(jobs) < _GROUP:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                    break
                if more[2]:
                    alone = more
                    break
                jobs.append(more)
            self._commit(jobs)
            if alone is not None:
                self._do_alone(alone)
            if ending:
                break
        self._connection.close()

    def _commit(self, jobs: list[_Job]) -> None:
        connection = self._connection
        results: list[tuple[asyncio.Future[object], object, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job, future, _ in jobs:
                results.append((future, *self._run(job, single=len(jobs) == 1)))
            connection.execute("COMMIT")
            self.last_error = ""
        except sqlite3.DatabaseError as error:
            self.last_error = f"{self.path} can't be written: {error}"
            log.error("database.commit_failed", error=str(error))
            failure = Unavailable(self.last_error, retry_after=5, hint="Is its disk full?")
            with contextlib.suppress(sqlite3.DatabaseError):
                connection.execute("ROLLBACK")
            results = [(future, None, failure) for _, future, _ in jobs]
        self._answer(results)

    def _do_alone(self, one: _Job) -> None:
        """Run what can't be in a transaction."""
        job, future, _ = one
        error: Exception | None = None
        try:
            job(self._connection)
        except sqlite3.DatabaseError as problem:
            error = Unavailable(f"{self.path} can't be rewritten: {problem}", hint="Is its disk full?")
        except Exception as problem:
            error = problem
        self._answer([(future, None, error)])

    def _answer(self, results: list[tuple[asyncio.Future[object], object, BaseException | None]]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, results)

    def _run(self, job: Callable[[sqlite3.Connection], object], *, single: bool) -> tuple[object, BaseException | None]:
        if single:
            try:
                return job(self._connection), None
            except sqlite3.OperationalError:
                raise
            except Exception as error:
                self._connection.execute("ROLLBACK")
                self._connection.execute("BEGIN IMMEDIATE")
                return None, error
        self._connection.execute("SAVEPOINT one")
        try:
            result = job(self._connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO one")
            return None, error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE one")
        return result, None


def _resolve(results: list[tuple[asyncio.Future[object], object, BaseException | None]]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
    connection.row_factory = sqlite3.Row
    # auto_vacuum has an effect only before the first table: an older file is converted
    first = ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", f"journal_size_limit={LOG_BYTES}")
    for pragma in (*first, "synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("on_pattern", 2, matches, deterministic=True)  # on_pattern(pattern, subject)
    return connection


def _check_small(connection: sqlite3.Connection, path: Path) -> None:
    """Raise DatabaseError for a file with damaged pages: it would answer until somebody needs what was on them.

    A large one is not read through at the start; what is damaged there is said when it is met.
    """
    if path.stat().st_size > _CHECKED_AT_START:
        return
    said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if said != "ok":
        raise sqlite3.DatabaseError("database disk image is malformed")


def _hint(error: sqlite3.Error) -> str:
    """What helps. To move the file away is never said of one that is intact: what waits in it would be lost."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another program has it open (`fuser` names it): stop that one, then start again. The file is intact."
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return "May this user write there, and is it a file? The file is not damaged: leave it where it is."
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return "Is its disk full, or broken? Nothing in the file was changed."
    return (
        "The file is damaged, and was left as it is. `openclaw-nats restore` brings a backup; if you move it away, a "
        "new one begins without routes and without what waits. Events stay in the stream and in the spool meanwhile."
    )


def _convert(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("VACUUM")
    _checkpoint(connection)


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout={_SHORT_WAIT}")  # for readers; if one goes on it is for the next time
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.execute(f"PRAGMA busy_timeout={int(_BUSY_SECONDS * 1000)}")


def _convert_small(connection: sqlite3.Connection, path: Path) -> None:
    """A file that can't give space back is rewritten at once when that is quick; else housekeeping does it."""
    now = room(connection, path)
    if not now.gives_back and now.used <= _CONVERTED_AT_START:
        with contextlib.suppress(sqlite3.OperationalError):  # no room for it, or somebody reads: it works as it is
            _convert(connection)


def migrations() -> list[Path]:
    """The migrations in order; the number in front of each name is the version it leads to."""
    return sorted(MIGRATIONS.glob("[0-9]*.sql"))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    current = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = migrations()
    newest = int(steps[-1].name.split("_")[0])
    if current > newest:
        raise SettingsError(
            f"{path} was written by a newer openclaw-nats (version {current} of its tables; this one knows {newest})",
            hint="Install that version again, or restore a backup of the file.",
        )
    for step in steps:
        number = int(step.name.split("_")[0])
        if number > current:
            connection.executescript(f"BEGIN;\n{step.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;")
            log.info("database.migrated", version=number)
