"""Putting a new state in the place of the old one, so that `kill -9` at any instant leaves one of the two, complete.

The new state is built in `<home>/.restore/new`. Then a journal says which names go out of the state directory, and
where to, and which come in; from that moment on the change is finished by whoever looks next (`recover`). Each step is
a rename, and can be repeated. What the Gateway has open, and what belongs to processes, stays where it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from openclaw_nats.backup.archive import sync_folder
from openclaw_nats.errors import SetupError
from openclaw_nats.service.files import write_private

FOLDER = ".restore"
ASIDE = "before-restore-"
# Events that wait in the plugin's spool belong to no backup, and a Gateway that runs has it open; so it has the marks
# of calls that have run by an approval, which no restore may let run again.
KEPT = ("spool", "grants", "guarded-turns.json", "plugin.json", "run", FOLDER)
_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Journal:
    """Names that go from the state directory to the folder `out_to`, then names that come from `in_from`."""

    out_names: list[str]
    out_to: str
    in_names: list[str]
    in_from: str

    def back(self, failed: Path) -> Journal:
        """The way back; what had come goes to the folder `failed`."""
        return Journal(self.in_names, str(failed), self.out_names, self.out_to)


class Staging:
    """The folder in which a new state is built. Its lock says that somebody is at work there."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / FOLDER
        self.new = self.folder / "new"
        self.journal = self.folder / "journal.json"
        self.note = self.folder / "streams.json"

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Hold the folder, empty; it is gone at the end. Raises SetupError when another restore has it."""
        fresh = not self.home.exists()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        lock = _lock(self.folder, 0.0)
        if lock is None:
            raise SetupError(f"another restore is running for {self.home}", hint="Wait until it is done.")
        try:
            self.new.mkdir(mode=0o700)
            yield
        finally:
            if not self.journal.exists():  # else a swap was begun: it is finished at the next start
                shutil.rmtree(self.folder, ignore_errors=True)
                if fresh:
                    with contextlib.suppress(OSError):
                        self.home.rmdir()
            lock.close()

    def swap(self, *, undo: Journal | None = None) -> Journal:
        """Replace what is in the state directory by the new state, or the other way round; what was done.

        Raises SetupError when a rename fails: then everything is as it was.
        """
        journal = undo.back(self.folder / "failed") if undo is not None else self._plan()
        for folder in (self.new, Path(journal.out_to).parent):
            sync_folder(folder)
        write_private(self.journal, json.dumps(asdict(journal)))
        sync_folder(self.folder)
        _finish(self.home, journal)
        self._done()
        if undo is not None:
            with contextlib.suppress(OSError):
                Path(journal.in_from).rmdir()
        return journal

    def recover(self) -> bool:
        """Finish a swap that was broken off; whether there was one. The lock has to be held."""
        try:
            found = json.loads(self.journal.read_text())
        except FileNotFoundError:
            return False
        _finish(self.home, Journal(**found))
        self._done()
        return True

    def _plan(self) -> Journal:
        old = sorted(one.name for one in self.home.iterdir() if one.name not in KEPT and not one.name.startswith(ASIDE))
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.home.with_name(f"{self.home.name}.{ASIDE}{stamp}")
        if self.home.stat().st_dev != self.home.parent.stat().st_dev:  # the state directory is a disk of its own
            aside = self.home / f"{ASIDE}{stamp}"
        while aside.exists():
            aside = aside.with_name(f"{aside.name}+")
        return Journal(old, str(aside), sorted(one.name for one in self.new.iterdir()), str(self.new))

    def _done(self) -> None:
        self.note.unlink(missing_ok=True)  # first: what it says is to be undone without a journal
        self.journal.unlink()
        sync_folder(self.folder)


def recover(home: Path, undo_streams: Callable[[Path], None] = lambda note: None) -> bool:
    """Before a start: finish what a restore that was killed had begun, or remove what it had only prepared.

    `undo_streams` is called with a note of streams that it had made in a NATS which is not ours. Whether the state
    directory has changed. A restore that is at work is not disturbed.
    """
    staging = Staging(home)
    if not staging.folder.is_dir():
        return False
    lock = _lock(staging.folder, _WAIT_SECONDS if staging.journal.exists() else 0.0)
    if lock is None:
        return False
    with lock:
        changed = staging.recover()
        if not changed and staging.note.exists():
            undo_streams(staging.note)
        shutil.rmtree(staging.folder, ignore_errors=True)
    return changed


def _lock(folder: Path, seconds: float) -> IO[str] | None:
    deadline = time.monotonic() + seconds
    file = (folder / "lock").open("a")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                file.close()
                return None
            time.sleep(0.05)
        else:
            return file


def _finish(home: Path, journal: Journal) -> None:
    """Do what is left of a journal; undo it when that is not possible."""
    out_to, in_from = Path(journal.out_to), Path(journal.in_from)
    try:
        if journal.out_names:
            out_to.mkdir(mode=0o700, exist_ok=True)
        for name in journal.out_names:
            if not os.path.lexists(out_to / name) and os.path.lexists(home / name):
                (home / name).rename(out_to / name)
        _sync(home, out_to)
        for name in journal.in_names:
            if os.path.lexists(in_from / name):
                if os.path.lexists(home / name):  # somebody made it meanwhile
                    out_to.mkdir(mode=0o700, exist_ok=True)
                    (home / name).rename(out_to / f"{name}.meanwhile-{time.time_ns()}")
                (in_from / name).rename(home / name)
        _sync(home, in_from)
    except OSError as error:
        _undo(home, journal)
        where = error.filename2 or error.filename
        raise SetupError(f"{where} can't be put in place: {error.strerror}", hint="Everything is as it was.") from error


def _undo(home: Path, journal: Journal) -> None:
    out_to, in_from = Path(journal.out_to), Path(journal.in_from)
    for name in journal.in_names:
        if not os.path.lexists(in_from / name) and os.path.lexists(home / name):
            (home / name).rename(in_from / name)
    for name in journal.out_names:
        if os.path.lexists(out_to / name):
            (out_to / name).rename(home / name)
    with contextlib.suppress(OSError):
        out_to.rmdir()
    (home / FOLDER / "journal.json").unlink(missing_ok=True)


def _sync(*folders: Path) -> None:
    for folder in folders:
        if folder.is_dir():
            sync_folder(folder)
