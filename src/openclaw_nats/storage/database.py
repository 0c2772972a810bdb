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

log = structlog.get_logger(__name__)

T = TypeVar("T")
Connection = sqlite3.Connection
MIGRATIONS = Path(__file__).parent / "migrations"
_GROUP = 512
_BUSY_SECONDS = 5.0

_Job = tuple[Callable[[sqlite3.Connection], object], "asyncio.Future[object]"]


class Database:
    """An open database; `write` and `read` take a function of a connection and run it off the event loop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_error = ""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(1, "sqlite-reader")
        self._local = threading.local()
        self._loop: asyncio.AbstractEventLoop | None = None
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            self._connection = _open(path)
            _migrate(self._connection, path)
        except sqlite3.DatabaseError as error:
            raise SettingsError(
                f"the database {path} can't be opened: {error}",
                hint="Is its disk full, or the file damaged? Moved away, it is made anew; waiting deliveries are lost.",
            ) from None
        self._thread = threading.Thread(target=self._write_loop, name="sqlite-writer", daemon=True)
        self._thread.start()

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` in a transaction and return its result after the commit; raise Unavailable if nothing was kept."""
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((job, future))  # type: ignore[arg-type]
        return await future

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on a connection of its own, which sees every commit that was answered before."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)

    def now(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` at once in the caller's thread: for the start, before there is an event loop."""
        with self._connection:
            return job(self._connection)

    def close(self) -> None:
        """Finish what waits, then close."""
        self._jobs.put(None)
        self._thread.join(10)
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
            jobs, ending = [first], False
            while len(jobs) < _GROUP:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ending = True
                    break
                jobs.append(more)
            self._commit(jobs)
            if ending:
                break
        self._connection.close()

    def _commit(self, jobs: list[_Job]) -> None:
        connection = self._connection
        results: list[tuple[asyncio.Future[object], object, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job, future in jobs:
                results.append((future, *self._run(job, single=len(jobs) == 1)))
            connection.execute("COMMIT")
            self.last_error = ""
        except sqlite3.DatabaseError as error:
            self.last_error = f"{self.path} can't be written: {error}"
            log.error("database.commit_failed", error=str(error))
            failure = Unavailable(self.last_error, retry_after=5, hint="Is its disk full?")
            with contextlib.suppress(sqlite3.DatabaseError):
                connection.execute("ROLLBACK")
            results = [(future, None, failure) for _, future in jobs]
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
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("on_pattern", 2, matches, deterministic=True)  # on_pattern(pattern, subject)
    return connection


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
