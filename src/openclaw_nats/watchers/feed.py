"""An RSS or Atom feed: an event for each new entry."""

from __future__ import annotations

import asyncio
import time

import msgspec

from openclaw_nats.contract.sources import FeedOptions
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.terminal_text import plural
from openclaw_nats.url_secrets import masked
from openclaw_nats.watchers.fetching import Fetched, Tags, fetch
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.reading import reading
from openclaw_nats.watchers.text import digest, shortened
from openclaw_nats.watchers.watch import Watch

KEPT = 2000  # entries that are known though the feed has them no more
_STATE = "state"
_ENTRY = "e:"
_ACCEPT = "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5"


class _State(msgspec.Struct):
    etag: str = ""
    modified: str = ""
    digest: str = ""


class Feed(msgspec.Struct):
    """What a feed holds (feed_text.py): each entry by what it is known by, with its data."""

    title: str
    left_out: int
    entries: list[tuple[str, dict[str, str | list[str]]]]


_decode = msgspec.json.Decoder(_State).decode


async def run(watch: Watch) -> None:
    """Ask for it, for ever."""
    options = watch.options(FeedOptions)
    first = await watch.begin(options.url)
    note = ""
    while True:
        try:
            state = _decode(watch.items.get(_STATE, "{}"))
        except msgspec.MsgspecError:
            state = _State()
        fetched = await _ask(watch, Tags(state.etag, state.modified))
        if fetched.body is not None and (found := digest(fetched.body)) != state.digest:
            after = _State(fetched.tags.etag, fetched.tags.modified, found)
            feed = await _read(fetched)
            note = (
                f"the feed is too long: {plural(feed.left_out, 'entry', 'entries')} not read" if feed.left_out else ""
            )
            await _news(watch, feed, after, silent=first and not options.from_beginning)
        first = False
        watch.well(note)
        await asyncio.sleep(seconds_of(options.every))


async def look(watch: Watch) -> str:
    """How many entries are there."""
    feed = await _read(await _ask(watch, Tags()))
    newest = f"; the first: {shortened(str(feed.entries[0][1]['title']), 150)}" if feed.entries else ""
    title = shortened(feed.title, 100) or "a feed without a title"
    return f"{plural(len(feed.entries), 'entry', 'entries')} in {title}{newest}"


async def _news(watch: Watch, feed: Feed, after: _State, *, silent: bool) -> None:
    now = str(int(time.time()))
    changes: dict[str, str | None] = {_STATE: msgspec.json.encode(after).decode()}
    there = {_ENTRY + key for key, _ in feed.entries}
    gone = sorted((at, key) for key, at in watch.items.items() if key.startswith(_ENTRY) and key not in there)
    changes |= {key: None for _, key in gone[: max(0, len(gone) - KEPT)]}
    new = [(key, data) for key, data in feed.entries if _ENTRY + key not in watch.items]
    if silent:
        await watch.emit((), changes | {_ENTRY + key: now for key, _ in new})
        return
    about = {"feed": feed.title, "url": masked(watch.options(FeedOptions).url)}
    events = [Seen("published", key[:20], {**about, **data}, {_ENTRY + key: now}) for key, data in reversed(new)]
    await watch.emit(events, changes)


async def _ask(watch: Watch, tags: Tags) -> Fetched:
    return await fetch(watch.options(FeedOptions).url, _ACCEPT, tags, watch.source.options.header, watch.secret)


async def _read(fetched: Fetched) -> Feed:
    async with reading("feed", "the feed") as reader:
        return msgspec.convert(
            await reader.read(fetched.body or b"", content_type=shortened(fetched.content_type, 200)), Feed
        )
