"""A folder: which files are created, changed and deleted. Told of changes by the system, it looks for itself.

What a file is, is its time and size; what it holds is never read. A change counts when the file has stayed as it is for
a while, so that one that is being written is one event. Links are not followed.
"""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from openclaw_nats.contract.sources import FilesOptions
from openclaw_nats.errors import WatchFailed, words_for
from openclaw_nats.events.envelope import format_time
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.terminal_text import plural
from openclaw_nats.watchers.folder_notices import is_below, notices
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.text import digest, shortened
from openclaw_nats.watchers.watch import Watch

MAX_FILES = 50_000
MAX_HEARD = 5_000  # folders about which the system is asked to say something: that takes its time
_DEEPEST = 64
_REST = 10.0  # so many times as long as a look took, the next one waits
_LEAST_SECONDS = 0.2
_DEVICE = "//device"  # the item that says on which file system the folder is; no path in it begins so


@dataclass(frozen=True, slots=True)
class Look:
    """The files at one moment, by their path in the folder (`key_of`): `<mtime in ns>:<bytes>`. Folders that could not
    be read are in `unread`: what was below them is not known to be gone.
    """

    files: dict[str, str]
    unread: tuple[str, ...] = ()
    device: str = ""
    identity: str = ""  # the folder itself: its device and number
    folders: int = 1


@dataclass
class Changes:
    """What differs from what is remembered, since when (monotonic seconds): what has settled is told once."""

    settle: float
    _since: dict[str, tuple[str | None, float]] = field(default_factory=dict)

    def settled(self, known: dict[str, str], look: Look, now: float) -> list[tuple[str, str | None, str | None]]:
        """(path, what was, what is) of what has stayed the same for long enough."""
        differing = {key: state for key, state in look.files.items() if known.get(key) != state}
        gone: dict[str, str | None] = {
            key: None for key in known if key not in look.files and not key.startswith(look.unread or ("\0",))
        }
        before, self._since = self._since, {}
        found = []
        for key, state in (differing | gone).items():
            seen = before.get(key)
            since = seen[1] if seen is not None and seen[0] == state else now
            if now - since >= self.settle:
                found.append((key, known.get(key), state))
            else:
                self._since[key] = (state, since)
        return found

    @property
    def pending(self) -> bool:
        """Whether something has not settled yet."""
        return bool(self._since)


async def run(watch: Watch) -> None:
    """Watch it, for ever."""
    options = watch.options(FilesOptions)
    folder, hidden = Path(options.path), _hidden(watch)
    scope = f"{options.path}\n{options.pattern}\n{options.recursive}"
    first, look = await watch.begin(scope), await _look(options, hidden)
    if first and not options.from_beginning:
        await watch.emit((), {_DEVICE: look.device, **look.files})
    identity, changes = look.identity, Changes(seconds_of(options.settle))
    heard = look.folders <= MAX_HEARD
    note = "" if heard else f"more than {MAX_HEARD} folders: they are looked through each {options.every}"
    with notices(options.path, hidden, recursive=options.recursive, heard=heard) as said:
        while True:
            said.begin()
            began = time.monotonic()
            look = await _look(options, hidden)
            took = time.monotonic() - began
            known = {key: state for key, state in watch.items.items() if key != _DEVICE}
            if known and not look.files and look.device != watch.items.get(_DEVICE, look.device):
                raise WatchFailed(f"{options.path} is empty, and on another file system than before: is it unmounted?")
            found = changes.settled(known, look, time.monotonic())
            device = {} if look.device == watch.items.get(_DEVICE) else {_DEVICE: look.device}
            if found or device:
                await watch.emit([_seen(folder, *one) for one in found], device)
            if identity != look.identity:
                raise WatchFailed(f"{options.path} is another folder than before")
            watch.well(note)
            await asyncio.sleep(max(_LEAST_SECONDS, took * _REST))
            pending = max(_LEAST_SECONDS, changes.settle / 2)
            await said.wait(pending if changes.pending else seconds_of(options.every))


async def look(watch: Watch) -> str:
    """How many files are there."""
    options = watch.options(FilesOptions)
    found = (await _look(options, _hidden(watch))).files
    newest = max(found, key=lambda key: int(found[key].partition(":")[0]), default="")
    return plural(len(found), "file") + (f"; the newest is {shortened(_shown(newest), 200)}" if newest else "")


async def _look(options: FilesOptions, hidden: str) -> Look:
    """The files now; raise WatchFailed when the folder can't be read, or holds too many."""
    return await asyncio.to_thread(look_at, options, hidden)


def look_at(options: FilesOptions, hidden: str = "") -> Look:
    """As `_look`, in the caller's thread. Nothing below `hidden` counts."""
    files: dict[str, str] = {}
    unread: list[str] = []
    folders: list[str] = []
    try:
        folder = os.stat(options.path)
        for entry, key in _entries(options, hidden, unread, folders):
            try:
                state = entry.stat(follow_symlinks=False)
            except OSError:  # gone since
                continue
            if not stat.S_ISREG(state.st_mode):
                continue
            files[key] = f"{state.st_mtime_ns}:{state.st_size}"
            if len(files) > MAX_FILES:
                text = f"{options.path} holds more than {MAX_FILES} files that match"
                raise WatchFailed(text, hint="Narrow it by --pattern, or watch a smaller folder.")
    except OSError as error:
        raise WatchFailed(f"{options.path} can't be read: {error.strerror or words_for(error)}") from None
    return Look(files, tuple(unread), str(folder.st_dev), f"{folder.st_dev}:{folder.st_ino}", len(folders))


def _entries(
    options: FilesOptions, hidden: str, unread: list[str], folders: list[str]
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """What matches, with its key. Folders go to `folders`, those that can't be read to `unread`."""
    waiting = [("", options.path, 0)]
    while waiting:
        prefix, path, depth = waiting.pop()
        folders.append(prefix)
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    key = prefix + key_of(entry.name)
                    if options.recursive and entry.is_dir(follow_symlinks=False):
                        if depth < _DEEPEST and not (hidden and is_below(entry.path, hidden)):
                            waiting.append((f"{key}/", entry.path, depth + 1))
                    elif _matches(options.pattern, key):
                        yield entry, key
        except OSError:
            if not prefix:
                raise
            if os.path.lexists(path):
                unread.append(prefix)


def key_of(name: str) -> str:
    """A name as a text that can be stored, whatever its bytes are: those that are no UTF-8 as a private character."""
    return "".join(chr(0xF700 + ord(one) - 0xDC00) if 0xDC80 <= ord(one) <= 0xDCFF else one for one in name)


def _shown(key: str) -> str:
    return "".join("\ufffd" if 0xF780 <= ord(one) <= 0xF7FF else one for one in key)


def _matches(pattern: str, key: str) -> bool:
    if not pattern:
        return True
    return fnmatchcase(key if "/" in pattern else key.rpartition("/")[2], pattern)


def _seen(folder: Path, key: str, before: str | None, after: str | None) -> Seen:
    event = "deleted" if after is None else "created" if before is None else "changed"
    path = shortened(_shown(key), 1000)
    data: dict[str, Any] = {"path": path, "name": path.rpartition("/")[2], "folder": str(folder)}
    if after is not None:
        modified, _, size = after.partition(":")
        data |= {"bytes": int(size), "modified": _time(int(modified))}
    return Seen(event, digest(key, before or "", after or "")[:20], data, {key: after})


def _time(nanoseconds: int) -> str:
    try:
        return format_time(nanoseconds // 1_000_000)
    except (ValueError, OverflowError, OSError):  # a file may be of any year
        return ""


def _hidden(watch: Watch) -> str:
    """The state directory: it changes with each event, so that nothing in it can be one."""
    home, path = os.path.realpath(watch.home), os.path.realpath(watch.options(FilesOptions).path)
    if is_below(path, home):
        raise WatchFailed(f"{path} is in the state directory, which changes with each event")
    return home
