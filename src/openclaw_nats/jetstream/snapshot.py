"""A stream as a file, by JetStream's own snapshots: messages, configuration and consumers' positions.

Wire facts (nats-server 2.15.1, `$JS.API.STREAM.SNAPSHOT` and `.RESTORE`): chunks come to a subject, each acknowledged
by a reply, and an empty one ends it; a restore takes the same chunks as requests to the subject that its answer names.

A stream that is restored with sources takes everything from them once more, whatever it holds: the server looks up how
far it was, says so in `STREAM.INFO`, but begins at the first message all the same (also when the sources are added
later). It keeps to `opt_start_time`. So a stream is restored without its sources, and each is added with the moment of
the first message that is not there yet. After the next start of the server, the headers of what was taken tell.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from openclaw_nats.errors import SetupError, Unavailable, words_for
from openclaw_nats.jetstream.connection import Connection, parse_reply
from openclaw_nats.jetstream.streams import SCHEDULES

CHUNK = 128 * 1024
_SECONDS = 30.0
_LOOK_SECONDS = 0.2
_SOURCE_SECONDS = 15.0
_NOT_FOUND = 10059
_MARK = "openclaw-nats-restore"
# No message of a job or timer lies here: it only takes a sequence.
_FILLER = "agent.schedules.filler"
_MAX_FILLERS = 10_000
_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
NO_ROOM = "Free some space where the backup goes, or name a file on another disk."
_NEEDED = ["$JS.SNAPSHOT.ACK.>", "$JS.SNAPSHOT.RESTORE.>", "$JS.API.>"]

T = TypeVar("T")


async def save(connection: Connection, stream: str, file: Path) -> dict[str, Any] | None:
    """Write a stream to a file; what `restore` has to know of it, None when there is no such stream."""
    about = await _api(connection, f"STREAM.INFO.{stream}")
    if about.get("error", {}).get("err_code") == _NOT_FOUND:
        return None
    inbox = connection.new_inbox()
    chunks: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await connection.client.subscribe(inbox, cb=chunks.put)
    try:
        request = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": CHUNK}
        answer = _right(await _api(connection, f"STREAM.SNAPSHOT.{stream}", request), f"stream {stream} can't be saved")
        with file.open("xb") as out:
            while True:
                chunk = await _watched(connection, chunks.get(), f"saving stream {stream}")
                if not chunk.data:
                    if chunk.headers and (status := chunk.headers.get("Status")) and status != "204":
                        raise Unavailable(
                            f"saving stream {stream} was interrupted: {chunk.headers.get('Description', status)}"
                        )
                    break
                out.write(chunk.data)
                if chunk.reply:
                    await connection.client.publish(chunk.reply, b"")
        taken = {one["name"]: int(one.get("seq", 0)) for one in about.get("sources") or []}
        created = str(about.get("created", ""))
        return {"config": answer["config"], "state": answer["state"], "created": created, "taken": taken}
    except (NatsError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            raise SetupError(f"stream {stream} can't be saved: {error.strerror}", hint=NO_ROOM) from error
        raise Unavailable(f"stream {stream} can't be saved: {error}") from error
    finally:
        await subscription.unsubscribe()


async def existing(connection: Connection, streams: Iterable[str]) -> list[str]:
    """Which of the streams there are."""
    found = []
    for one in streams:
        answer = await _api(connection, f"STREAM.INFO.{one}")
        if answer.get("error", {}).get("err_code") != _NOT_FOUND:
            _right(answer, f"it is not known whether there is a stream {one}")
            found.append(one)
    return found


async def restore(connection: Connection, stream: str, file: Path, saved: dict[str, Any], mark: str) -> tuple[int, str]:
    """Make a stream of a file, without its sources; its messages, and when it was made, as the server says it.

    It has `mark` in its metadata until `unmark`: whoever noted the mark knows it, even if this process ends now.
    Raises Unavailable, also when there is a stream of that name already; then there is none that was not there before.
    """
    config = {key: value for key, value in saved["config"].items() if key != "sources"}
    config["metadata"] = {**(config.get("metadata") or {}), _MARK: mark}
    request = {"config": config, "state": saved["state"]}
    refused = f"stream {stream} can't be restored"
    answer = _right(await _api(connection, f"STREAM.RESTORE.{stream}", request), refused)
    subject = answer["deliver_subject"]
    reply: Msg | None = None
    what = f"restoring stream {stream}"
    try:
        with file.open("rb") as source:
            for chunk in _chunks(source):
                sent = connection.client.request(subject, chunk, timeout=_SECONDS)
                reply = await _watched(connection, sent, what)
                if reply.data and b'"error"' in reply.data:
                    break
            else:
                reply = await _watched(connection, connection.client.request(subject, b"", timeout=_SECONDS), what)
    except (NatsError, OSError) as error:
        raise Unavailable(f"{what} was interrupted: {words_for(error)}") from error
    done = _right(parse_reply(reply), refused)
    about = _right(await _api(connection, f"STREAM.INFO.{stream}"), refused)
    return int(done["state"]["messages"]), str(about["created"])


async def unmark(connection: Connection, stream: str) -> None:
    """Take the mark of `restore` from a stream; raise Unavailable."""
    config = _right(await _api(connection, f"STREAM.INFO.{stream}"), f"stream {stream}")["config"]
    config["metadata"] = {key: value for key, value in (config.get("metadata") or {}).items() if key != _MARK}
    _right(await _api(connection, f"STREAM.UPDATE.{stream}", config), f"stream {stream} can't be completed")


async def add_sources(connection: Connection, stream: str, saved: dict[str, Any], schedules: dict[str, Any]) -> None:
    """Give a restored stream its sources: what it has taken from them before the backup does not come again.

    `schedules` is what was saved of the schedules stream, which has been restored before.
    """
    sources: list[dict[str, Any]] = saved["config"].get("sources") or []
    if not sources:
        return
    config = _right(await _api(connection, f"STREAM.INFO.{stream}"), f"stream {stream}")["config"]
    ours = await _api(connection, f"STREAM.INFO.{SCHEDULES}")
    now = str(ours.get("created", "")) or "2000-01-01T00:00:00Z"
    held = [{**_plain(one), "opt_start_time": now} for one in sources]
    about = await _update(connection, config, held)
    seen = {one["name"]: int(one.get("seq", 0)) for one in about.get("sources") or []}
    taken = {one["name"]: max(seen.get(one["name"], 0), _noted(saved, one["name"])) for one in sources}
    wanted = [
        {**one, "opt_start_time": await _first_missing(connection, taken[SCHEDULES], schedules) or now}
        if one["name"] == SCHEDULES
        else {**_plain(one), **_behind(one, taken[one["name"]])}
        for one in held
    ]
    if wanted != held:
        await _update(connection, config, [])
        await _update(connection, config, wanted)
    last = int(schedules.get("state", {}).get("last_seq", 0))
    if SCHEDULES in taken and "error" not in ours and taken[SCHEDULES] > last:
        await _catch_up(connection, stream, taken[SCHEDULES])


async def remove(connection: Connection, streams: dict[str, str]) -> None:
    """Remove streams, if they are still those that were made at that moment, or have that mark (see `restore`)."""
    for stream, known_by in streams.items():
        about = await _api(connection, f"STREAM.INFO.{stream}")
        mark = (about.get("config", {}).get("metadata") or {}).get(_MARK)
        if known_by in (about.get("created"), mark):
            await _api(connection, f"STREAM.DELETE.{stream}")


async def _catch_up(connection: Connection, stream: str, taken: int) -> None:
    """In a backup of 0.1.0 the events may be newer than the schedules: these have to get past what was taken.

    Else the server, at its next start, would wait for sequences that come later. First what fired meanwhile is taken.
    """
    async with asyncio.timeout(_SOURCE_SECONDS):
        while True:
            about = await _api(connection, f"STREAM.INFO.{stream}")
            if all(one.get("active", -1) >= 0 and not one.get("lag") for one in about.get("sources") or []):
                break
            await asyncio.sleep(_LOOK_SECONDS)
    for _ in range(_MAX_FILLERS):
        if int(parse_reply(await connection.request(_FILLER, b"")).get("seq", taken)) >= taken:
            break
    await _api(connection, f"STREAM.PURGE.{SCHEDULES}", {"filter": _FILLER})


async def _first_missing(connection: Connection, taken: int, schedules: dict[str, Any]) -> str:
    """When the first tick fired that is in the saved schedules, but was not taken; empty when there is none.

    Without anything that says how far it was (`taken` is 0), everything that had fired before the backup was.
    """
    last = int(schedules.get("state", {}).get("last_seq", 0))
    if not 0 < taken < last:
        return ""
    request = {"seq": taken + 1, "next_by_subj": "agent.schedules.fired.>"}
    message = (await _api(connection, f"STREAM.MSG.GET.{SCHEDULES}", request)).get("message")
    return str(message["time"]) if message and int(message["seq"]) <= last else ""


def _plain(source: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key not in ("opt_start_seq", "opt_start_time")}


def _behind(source: dict[str, Any], taken: int) -> dict[str, Any]:
    """Where to begin with a source that is not ours."""
    if taken:
        return {"opt_start_seq": taken + 1}
    return {key: source[key] for key in ("opt_start_seq", "opt_start_time") if key in source}


def _noted(saved: dict[str, Any], name: str) -> int:
    taken = saved.get("taken")
    found = taken.get(name) if isinstance(taken, dict) else 0
    return found if type(found) is int else 0


async def _update(connection: Connection, config: dict[str, Any], sources: list[dict[str, Any]]) -> dict[str, Any]:
    request = {**config, "sources": sources}
    return _right(await _api(connection, f"STREAM.UPDATE.{config['name']}", request), "its sources can't be set")


async def _api(connection: Connection, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return await connection.api(operation, request)
    except Unavailable:
        _check_allowed(connection, operation)
        raise


def _right(answer: dict[str, Any], what: str) -> dict[str, Any]:
    if "error" in answer:
        raise Unavailable(f"{what}: {answer['error'].get('description')}")
    return answer


async def _watched(connection: Connection, work: Awaitable[T], what: str) -> T:
    """Wait for something, as long as NATS does not say meanwhile that we may not do it."""
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(_SECONDS):
            while not (await asyncio.wait([task], timeout=_LOOK_SECONDS))[0]:
                _check_allowed(connection, what)
    except TimeoutError:
        raise Unavailable(f"{what} was interrupted: no answer within {_SECONDS:g} s") from None
    finally:
        task.cancel()
    try:
        return task.result()
    except (NatsError, TimeoutError):
        _check_allowed(connection, what)
        raise


def _check_allowed(connection: Connection, what: str) -> None:
    said = connection.last_error
    if "ermissions" not in said and "ermission denied" not in said:
        return
    subjects = [one for one in _NEEDED if one.lower().rstrip(">") in said.lower()] or _NEEDED
    raise Unavailable(
        f"NATS does not allow {what}: {said.removeprefix('nats: ')}",
        hint=f"Let the user in nats.user publish on {' and '.join(subjects)} (docs/how-to/backup.md).",
    )


def _chunks(source: IO[bytes]) -> Iterator[bytes]:
    while chunk := source.read(CHUNK):
        yield chunk
