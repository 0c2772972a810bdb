"""Who runs the watchers: each starts again with growing waits, stops when it should, and its state is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from openclaw_nats.contract.sources import FilesOptions, HttpOptions, SourceOptions
from openclaw_nats.errors import InvalidInput, Unavailable, WatchFailed
from openclaw_nats.outbound.ingest import BatchOutcome
from openclaw_nats.sources.log import DoorLog, DoorMeters
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.storage import watching as rows
from openclaw_nats.storage.database import Database
from openclaw_nats.watchers import supervisor
from openclaw_nats.watchers.outbox import Outbox, Seen
from openclaw_nats.watchers.supervisor import Watchers, WatchMeters
from openclaw_nats.watchers.watch import Watch


def source(name: str, url: str = "http://x", **more: Any) -> StoredSource:
    return StoredSource(
        name=name,
        type="http",
        subject=f"agent.events.watch.{name}",
        token="",
        secrets=[],
        made="2026-11-27T10:00:00.000Z",
        options=SourceOptions(http=HttpOptions(url=url)),
        **more,
    )


class Stream:
    """An ingest that takes documents in, or does not."""

    def __init__(self) -> None:
        self.away = False
        self.kept: list[dict[str, Any]] = []

    async def ingest(self, documents: list[bytes], since: float, origin_of: Callable[[str], Any]) -> BatchOutcome:
        if self.away:
            raise Unavailable("NATS is away")
        found = [msgspec.json.decode(one) for one in documents]
        rejected = [(at, InvalidInput("too large")) for at, one in enumerate(found) if one["data"].get("bad")]
        self.kept += [one for one in found if not one["data"].get("bad")]
        return BatchOutcome(accepted=len(found) - len(rejected), rejected=list(rejected))


class World:
    """A supervisor with its sources; `works` is what each watcher does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = Database(folder / "sidecar.db")
        self.stream = Stream()
        registry = CollectorRegistry()
        self.log = DoorLog(DoorMeters(registry))
        self.outbox = Outbox(self.stream, self.database, self.log)  # type: ignore[arg-type]
        self.sources: dict[str, StoredSource] = {}
        self.book: Any = SimpleNamespace(every=lambda: list(self.sources.values()), on_change=None, problem="")
        self.watchers = Watchers(self.book, self.outbox, folder, "UTC", WatchMeters(registry))
        self.works: dict[str, Callable[[Watch], Any]] = {}
        self.begun: list[tuple[str, str]] = []
        monkeypatch.setattr(supervisor, "kind_of", lambda name: SimpleNamespace(run=self._run, look=self._run))

    async def _run(self, watch: Watch) -> Any:
        options = watch.source.options.http
        assert options is not None
        self.begun.append((watch.source.name, options.url))
        return await self.works[watch.source.name](watch)

    def put(self, *sources: StoredSource) -> None:
        self.sources = {one.name: one for one in sources}
        if self.book.on_change is not None:
            self.book.on_change()

    def state(self, name: str) -> tuple[str, str]:
        found = self.watchers.state(self.sources[name])
        return found.state, found.reason


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    one = World(tmp_path, monkeypatch)
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.02)
    monkeypatch.setattr("openclaw_nats.watchers.outbox._FIRST_WAIT", 0.02)
    task = asyncio.create_task(one.watchers.run())
    yield one
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    one.database.close()


async def for_ever(watch: Watch) -> None:
    watch.well("")
    await asyncio.sleep(3600)


async def test_one_that_fails_is_run_again_and_another_goes_on(world: World) -> None:
    async def failing(watch: Watch) -> None:
        if len([one for one in world.begun if one[0] == "bad"]) < 4:
            raise WatchFailed("it is not there", hint="Put it there.")
        await for_ever(watch)

    world.works |= {"bad": failing, "good": for_ever}
    world.put(source("bad"), source("good"))
    await until(lambda: world.watchers.state(world.sources["bad"]).state == "failing")
    assert world.state("bad") == ("failing", "it is not there (Put it there.)")
    (note,) = world.watchers.notes()
    assert note.startswith("the watcher bad (http) has been failing since")
    await until(lambda: world.state("bad") == ("running", ""))
    assert world.begun.count(("good", "http://x")) == 1
    assert world.watchers.notes() == ()


async def test_a_fault_of_ours_and_an_end_are_failures_too_and_waits_grow(world: World) -> None:
    async def broken(watch: Watch) -> None:
        raise KeyError("x")

    async def ending(watch: Watch) -> None:
        return None

    async def busy(watch: Watch) -> None:
        raise WatchFailed("it is busy", retry_after=9e9)

    world.works |= {"broken": broken, "ending": ending, "busy": busy}
    world.put(source("broken"), source("ending"), source("busy"))
    await until(lambda: all(world.state(name)[0] == "failing" for name in world.works))
    assert "a fault in openclaw-nats" in world.state("broken")[1]
    assert world.state("ending")[1] == "it ended"
    await asyncio.sleep(0.5)
    assert 2 <= len([one for one in world.begun if one[0] == "ending"]) < 8  # 20 ms, 40, 80, 160, …
    assert len([one for one in world.begun if one[0] == "busy"]) == 1  # at most an hour, as it was asked to


async def test_a_change_starts_it_again_and_a_pause_or_an_end_stops_it(world: World) -> None:
    world.works |= {"a": for_ever}
    world.put(source("a"))
    await until(lambda: world.begun)
    world.put(source("a", "http://y"))
    await until(lambda: len(world.begun) == 2)
    assert world.begun[1] == ("a", "http://y")
    world.put(source("a", "http://y", paused=True))
    await asyncio.sleep(0.1)
    assert world.state("a") == ("paused", "")
    world.put(source("a", "http://y"))
    await until(lambda: len(world.begun) == 3)
    await world.database.write(lambda db: rows.keep(db, "a", {"k": "v"}))
    gone, world.sources = world.sources, {}
    await world.watchers.forget("a")
    assert await world.outbox.items("a") == {}
    assert gone


async def test_what_is_seen_is_remembered_with_its_event_and_stored_when_that_can_be(world: World) -> None:
    release = asyncio.Event()

    async def seeing(watch: Watch) -> None:
        first = await watch.begin("here")
        watch.well("")
        await release.wait()
        if first:
            events = [Seen("changed", f"n{n}", {"n": n, "bad": n == 7}, {f"k{n}": str(n)}) for n in range(250)]
            await watch.emit(events, {"end": "yes"})
        await for_ever(watch)

    world.works |= {"a": seeing}
    world.stream.away = True
    world.put(source("a"))
    await until(lambda: world.begun)
    release.set()
    await until(lambda: world.state("a")[0] == "failing")
    assert "NATS is away" in world.state("a")[1]
    items = await world.outbox.items("a")
    assert len(items) == 101  # the first hundred, and what they are about; the rest was not begun
    world.put(source("a", "http://y"))  # stopped in the middle, and started again
    world.stream.away = False
    await until(lambda: world.state("a") == ("running", ""))
    await until(lambda: len(world.stream.kept) == 99)
    assert len({one["id"] for one in world.stream.kept}) == 99
    assert world.log.of("a").refused == {422: 1}
    assert await world.database.read(lambda db: rows.waiting(db, "a", 10)) == []


async def test_another_thing_to_watch_is_looked_at_for_the_first_time(world: World) -> None:
    watch = Watch(source("a"), "", Path("/"), "UTC", world.outbox)
    assert await watch.begin("one")
    await watch.emit((), {"k": "v"})
    assert not await watch.begin("one")
    assert watch.items == {"k": "v"}
    assert await watch.begin("two")
    assert watch.items == {}
    assert not await watch.begin("one")  # nothing was kept of the second
    other = Watch(
        msgspec.structs.replace(source("a"), made="2027-01-01T00:00:00.000Z"), "", Path("/"), "UTC", world.outbox
    )
    assert await other.begin("one")


@pytest.mark.parametrize("problem", ["", "sources.json can't be read"])
async def test_what_is_left_of_others_goes_unless_the_file_of_sources_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    one = World(tmp_path, monkeypatch)
    one.book.problem = problem
    await one.database.write(lambda db: rows.keep(db, "former", {"k": "v"}))
    task = asyncio.create_task(one.watchers.run())
    await until(lambda: one.book.on_change is not None)
    await asyncio.sleep(0.1)
    assert await one.outbox.items("former") == ({"k": "v"} if problem else {})
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    one.database.close()


async def test_what_can_not_be_seen_is_said_when_one_looks(world: World) -> None:
    async def failing(watch: Watch) -> None:
        raise WatchFailed("no answer from https://me:secret@x/")

    world.works |= {"a": failing}
    with pytest.raises(InvalidInput, match="no answer from https://me:") as refused:
        await world.watchers.look(source("a"))
    assert "secret" not in str(refused.value)


async def test_many_folders_are_looked_through_and_not_listened_to(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openclaw_nats.watchers import files

    monkeypatch.setattr(files, "MAX_HEARD", 3)
    for number in range(5):
        (tmp_path / "in" / str(number)).mkdir(parents=True)
    options = FilesOptions(path=str(tmp_path / "in"), recursive=True, settle="10ms", every="1s")
    one = msgspec.structs.replace(source("a"), type="files", options=SourceOptions(files=options))
    notes: list[str] = []
    watch = Watch(one, "", tmp_path / "home", "UTC", world.outbox, well=notes.append)
    task = asyncio.create_task(files.run(watch))
    await until(lambda: notes)
    (tmp_path / "in" / "4" / "x").touch()
    await until(lambda: world.stream.kept)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert notes[0] == "more than 3 folders: they are looked through each 1s"
    assert [event["data"]["path"] for event in world.stream.kept] == ["4/x"]
