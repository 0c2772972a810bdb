"""The index of the stream: what is needed to find events, in a SQLite file of its own.

It holds no content: rows of numbers, the names that they stand for, and for text an FTS5 table without the text (three
characters a token). The stream is the truth; a file that is lost or damaged is made again from it. Events stand in
segments of consecutive sequences, each with its own table of text: when there is no room the oldest segment goes whole.

A position is kept in the same transaction as the rows up to it: whatever is killed, no event is missing or there twice.
The methods block: callers run them in a thread, one for `add` and its like, any for what reads.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from openclaw_nats.errors import Unavailable
from openclaw_nats.storage.event_index_names import Names

VERSION = 2
SEGMENT_EVENTS = 50_000
_SEGMENTS = 8  # at least so many, however small the index may be
FAILED, PROBE = 1, 2  # bits of `flags`
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE names (id INTEGER PRIMARY KEY, field TEXT NOT NULL, value TEXT NOT NULL, last INTEGER NOT NULL);
CREATE UNIQUE INDEX names_by_value ON names (field, value);
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,
    begins INTEGER NOT NULL, ends INTEGER NOT NULL, events INTEGER NOT NULL, pages INTEGER NOT NULL
);
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, flags INTEGER NOT NULL,
    subject INTEGER NOT NULL, agent INTEGER NOT NULL, session INTEGER NOT NULL, run INTEGER NOT NULL,
    origin INTEGER NOT NULL
);
CREATE INDEX events_by_run ON events (run, seq) WHERE run != 0;
PRAGMA user_version = {VERSION};
"""
_TEXT = "fts5(body, content='', detail=none, columnsize=0, tokenize='trigram case_sensitive 1')"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event, as the index takes it. `at` is when it was stored, milliseconds since the Unix epoch; `names` are
    subject, agent, session, run and origin, in that order; `text` is what events/searchable.py indexes.
    """

    sequence: int
    at: int
    names: tuple[str, str, str, str, str]
    flags: int
    text: str


@dataclass(frozen=True, slots=True)
class IndexState:
    """Of which stream it is, up to where, and what is in it; `oldest` in milliseconds, 0 when it is empty."""

    stream: str
    position: int
    events: int
    first: int
    oldest: int
    bytes: int


class EventIndex:
    """The open file. Raises Unavailable when it can't be used; one that is damaged is made again, empty."""

    def __init__(self, path: Path, max_bytes: int, segment_events: int = SEGMENT_EVENTS) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._segment_events = segment_events
        self._local = threading.local()
        self._opened = 0
        self._lock = threading.Lock()
        self._names = Names()

    def add(self, stream: str, entries: Sequence[Entry], position: int) -> None:
        """Add events, oldest first, and keep that everything up to `position` of that stream was looked at."""
        with self._writing() as db:
            before = _number(db, "position")
            fresh = [one for one in entries if one.sequence > before]
            if fresh:
                segment = self._segment(db, fresh[0])
                numbers = [self._names.numbers(db, one.names, one.sequence) for one in fresh]
                db.executemany(
                    "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(one.sequence, one.at, one.flags, *own) for one, own in zip(fresh, numbers, strict=True)],
                )
                db.executemany(
                    f"INSERT INTO text_{segment} (rowid, body) VALUES (?, ?)",  # noqa: S608  (a number of ours)
                    [(one.sequence, one.text) for one in fresh],
                )
                times = [one.at for one in fresh]
                db.execute(
                    "UPDATE segments SET last = ?, begins = min(begins, ?), ends = max(ends, ?), events = events + ? "
                    "WHERE id = ?",
                    (fresh[-1].sequence, min(times), max(times), len(fresh), segment),
                )
                self._names.keep(db)
            _keep(db, "stream", stream)
            _keep(db, "position", str(max(before, position)))
        self._make_room()

    def begin_again(self) -> None:
        """Forget everything: the next `add` may be of another stream."""
        with self._writing() as db:
            for row in db.execute("SELECT id FROM segments").fetchall():
                db.execute(f"DROP TABLE text_{row[0]}")
            for table in ("segments", "events", "names", "facts"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608  (a name of ours)
            self._names.forget()

    def remove_before(self, first: int) -> None:
        """Events before a sequence have left the stream."""
        with self._writing() as db:
            if db.execute("SELECT 1 FROM events WHERE seq < ? LIMIT 1", (first,)).fetchone() is None:
                return
            for row in db.execute("SELECT id FROM segments WHERE last < ?", (first,)).fetchall():
                self._drop(db, row[0])
            gone = db.execute("DELETE FROM events WHERE seq < ?", (first,)).rowcount
            db.execute("UPDATE segments SET events = events - ? WHERE first < ?", (gone, first))
            db.execute("DELETE FROM names WHERE last < ?", (first,))
            self._names.forget()

    def remove(self, sequences: Sequence[int]) -> None:
        """Single events have left the stream."""
        with self._writing() as db:
            for one in sequences:
                gone = db.execute("DELETE FROM events WHERE seq = ?", (one,)).rowcount
                db.execute("UPDATE segments SET events = events - ? WHERE ? BETWEEN first AND last", (gone, one))

    def sequences(self, after: int, count: int) -> list[int]:
        """The sequences behind one, in order."""
        rows = self.reading().execute("SELECT seq FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, count))
        return [row[0] for row in rows]

    def state(self) -> IndexState:
        """Where the index is."""
        db = self.reading()
        first = db.execute("SELECT min(seq) FROM events").fetchone()[0]
        count = db.execute("SELECT coalesce(sum(events), 0) FROM segments").fetchone()[0]
        oldest = db.execute("SELECT at FROM events WHERE seq = ?", (first,)).fetchone()
        stream = db.execute("SELECT value FROM facts WHERE name = 'stream'").fetchone()
        size = _used_pages(db) * _page_size(db)
        return IndexState(
            stream[0] if stream else "", _number(db, "position"), count, first or 0, oldest[0] if oldest else 0, size
        )

    def close(self) -> None:
        """End the connection of this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def reading(self) -> sqlite3.Connection:
        """This thread's connection. Raises Unavailable."""
        with self._lock:
            connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
            if connection is None or self._local.opened != self._opened:
                self.close()
                connection = self._local.connection = self._open()
                self._local.opened = self._opened
            return connection

    @contextlib.contextmanager
    def asked(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, for a question. Raises Unavailable, also for what SQLite says of it."""
        try:
            yield self.reading()
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"the index can't be read: {error}", hint="`openclaw-nats events reindex`") from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self.reading()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._names.forget()
            if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
                raise Unavailable(f"{self.path} can't be written: {error}", hint="Is its disk full?") from error
            if isinstance(error, sqlite3.DatabaseError):
                self._remove_file()
                raise Unavailable(f"{self.path} was damaged: it is made again from the stream") from error
            raise

    def _segment(self, db: sqlite3.Connection, first: Entry) -> int:
        """The segment that takes more events: the newest one, or one more when that is full."""
        row = db.execute("SELECT id, events, pages FROM segments ORDER BY id DESC LIMIT 1").fetchone()
        pages = _used_pages(db)
        share = self._max_bytes // _SEGMENTS // _page_size(db)
        if row is not None and row[1] < self._segment_events and pages - row[2] < share:
            return int(row[0])
        number = 1 if row is None else int(row[0]) + 1
        db.execute(f"CREATE VIRTUAL TABLE text_{number} USING {_TEXT}")
        values = (number, first.sequence, first.sequence, first.at, first.at, 0, pages)
        db.execute("INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return number

    def _make_room(self) -> None:
        """Remove the oldest segments while there are too many bytes; the newest one stays."""
        db = self.reading()
        while _used_pages(db) * _page_size(db) > self._max_bytes:
            rows = db.execute("SELECT id, last FROM segments ORDER BY id LIMIT 2").fetchall()
            if len(rows) < 2:
                return
            with self._writing() as writing:
                self._drop(writing, rows[0][0])
                writing.execute("DELETE FROM names WHERE last <= ?", (rows[0][1],))
                self._names.forget()
            db.executescript("PRAGMA incremental_vacuum(8192)")

    def _drop(self, db: sqlite3.Connection, segment: int) -> None:
        first, last = db.execute("SELECT first, last FROM segments WHERE id = ?", (segment,)).fetchone()
        db.execute(f"DROP TABLE text_{segment}")
        db.execute("DELETE FROM segments WHERE id = ?", (segment,))
        db.execute("DELETE FROM events WHERE seq BETWEEN ? AND ?", (first, last))

    def _open(self) -> sqlite3.Connection:
        try:
            return _opened(self.path)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self.path} can't be opened: {error}", hint="Is its disk full?") from error
        except sqlite3.DatabaseError:
            self._remove_file()
        try:
            return _opened(self.path)
        except sqlite3.DatabaseError as error:
            raise Unavailable(f"{self.path} can't be made: {error}") from error

    def _remove_file(self) -> None:
        """Another file takes its place; every thread opens that one."""
        self._opened += 1
        for ending in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        # NORMAL: a power cut may cost the last commits, rows and position alike; they are made again.
        for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000"):
            db.execute(f"PRAGMA {pragma}")
        db.execute(f"PRAGMA journal_size_limit={8 << 20}")
        db.execute("BEGIN IMMEDIATE")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute("COMMIT")
        if version == 0:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"it is of version {version}")
    except BaseException:
        db.close()
        raise
    return db


def _number(db: sqlite3.Connection, name: str) -> int:
    found = db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return int(found[0]) if found else 0


def _keep(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute("INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value))


def _used_pages(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_count").fetchone()[0]) - int(db.execute("PRAGMA freelist_count").fetchone()[0])


def _page_size(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA page_size").fetchone()[0])
