"""An address that is asked for again and again: an event when what it answers changes, or one value of its JSON."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from openclaw_nats.contract.sources import HttpOptions
from openclaw_nats.errors import OpenClawNatsError, WatchFailed
from openclaw_nats.events import json_path, json_text
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.url_secrets import masked
from openclaw_nats.watchers.fetching import Fetched, Tags, fetch
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.text import shortened
from openclaw_nats.watchers.watch import Watch

_STATE = "state"
_LONGEST_BEFORE = 8 << 10  # bytes of a value that is kept to be told as the one before
_LONGEST_AFTER = 64 << 10
_ABSENT = "absent"


class _State(msgspec.Struct):
    """What was seen last: the digest of the value (or of all), and the value when it is short."""

    etag: str = ""
    modified: str = ""
    digest: str = ""
    value: str = ""
    revision: int = 0


class _Found(msgspec.Struct):
    """What an answer holds: JSON or text in data, and its digest."""

    digest: str
    data: dict[str, Any]
    value: str = ""


_decode = msgspec.json.Decoder(_State).decode


async def run(watch: Watch) -> None:
    """Ask for it, for ever."""
    options = watch.options(HttpOptions)
    first = await watch.begin(f"{options.url}\n{options.json_path}")
    try:
        state = _decode(watch.items.get(_STATE, "{}"))
    except msgspec.MsgspecError:
        state = _State()
    while True:
        fetched = await _ask(watch, Tags(state.etag, state.modified))
        if fetched.body is not None:
            found = await asyncio.to_thread(found_in, fetched.body, options.json_path)
            after = _State(fetched.tags.etag, fetched.tags.modified, found.digest, found.value, state.revision)
            if found.digest == state.digest or (first and not options.from_beginning):
                if after != state:
                    await watch.emit((), {_STATE: _text(after)})
            else:
                after.revision += 1
                data: dict[str, Any] = {"url": masked(options.url), **found.data}
                if options.json_path:
                    data["jsonPath"] = options.json_path
                    if state.value:
                        data["before"] = msgspec.json.decode(state.value)
                thing = f"{found.digest[:16]}.{after.revision}"
                await watch.emit([Seen("changed", thing, data)], {_STATE: _text(after)})
            state, first = after, False
        watch.well("")
        await asyncio.sleep(seconds_of(options.every))


async def look(watch: Watch) -> str:
    """What is there now."""
    options = watch.options(HttpOptions)
    fetched = await _ask(watch, Tags())
    body = fetched.body or b""
    found = await asyncio.to_thread(found_in, body, options.json_path)
    if not options.json_path:
        return f"{len(body)} bytes, {shortened(fetched.content_type, 80) or 'of no type'}"
    if found.digest == _ABSENT:
        return f"there is no {options.json_path}"
    return f"{options.json_path} is {shortened(found.value, 300) or 'too long to be shown'}"


def found_in(body: bytes, path: str) -> _Found:
    """What an answer holds; raise WatchFailed for one that is no JSON though a path is asked for."""
    if not path:
        return _Found(hashlib.sha256(body).hexdigest(), _whole(body))
    try:
        there, value = json_path.find(_values(body), json_path.parse(path))
    except (OpenClawNatsError, ValueError) as error:
        raise WatchFailed(f"what it answers is no JSON that can be read: {str(error)[:200]}") from None
    if not there:
        return _Found(_ABSENT, {})
    text = msgspec.json.encode(value, order="sorted")
    data = {"after": value} if len(text) <= _LONGEST_AFTER else {"bytes": len(text)}
    short = text.decode() if len(text) <= _LONGEST_BEFORE else ""
    return _Found(hashlib.sha256(text).hexdigest(), data, short)


def _whole(body: bytes) -> dict[str, Any]:
    """An answer as data: its JSON or text when it is short."""
    data: dict[str, Any] = {"bytes": len(body)}
    if len(body) > _LONGEST_AFTER:
        return data
    try:
        return {**data, "after": _values(body)}
    except (OpenClawNatsError, ValueError):
        pass
    try:
        return {**data, "text": body.decode()}
    except UnicodeDecodeError:
        return data


def _values(body: bytes) -> Any:
    """The values of a JSON document; raise InvalidInput, Poison or ValueError."""
    json_text.check(body)
    return json_text.values(json_text.well_formed(body.removeprefix(b"\xef\xbb\xbf")))


async def _ask(watch: Watch, tags: Tags) -> Fetched:
    options = watch.options(HttpOptions)
    accept = "application/json, */*;q=0.5" if options.json_path else "*/*"
    return await fetch(options.url, accept, tags, watch.source.options.header, watch.secret)


def _text(state: _State) -> str:
    return msgspec.json.encode(state).decode()
