"""The lease of a gateway.id: who of several sidecars delivers. On a store in memory, with a clock that tests move."""

from __future__ import annotations

import msgspec
import pytest

from openclaw_nats.contract.health import Holder
from openclaw_nats.errors import Conflict, StreamConflict, Unavailable
from openclaw_nats.fleet.lease import HELD, LEASE_SECONDS, REFUSED, UNGUARDED, WAITING, Claim, Lease
from openclaw_nats.fleet.living import why_not_gone
from openclaw_nats.fleet.place import Place, place_of

HERE = Place("installation-1", "kitchen", "boot-1", "/state/nats", "1:10")
COPY = Place("installation-1", "kitchen", "boot-1", "/copy/nats", "1:11")
CLONED_MACHINE = Place("installation-1", "kitchen", "boot-2", "/state/nats", "1:10")
NEW_CONTAINER = Place("installation-1", "other", "boot-1", "/state/nats", "1:10")
OTHER = Place("installation-2", "kitchen", "boot-9", "/state/nats", "1:10")


class Store:
    """One record, written by compare-and-set; `lost` is how many answers get lost after the write."""

    def __init__(self) -> None:
        self.record: tuple[int, bytes] | None = None
        self.stops = 0.0  # seconds for which the process stands still between a write and its answer
        self.error: Exception | None = None
        self.lost = 0
        self.now = 1000.0

    async def read(self) -> tuple[int, bytes] | None:
        if self.error:
            raise self.error
        return self.record

    async def write(self, body: bytes, revision: int) -> int:
        if self.error:
            raise self.error
        if revision != (self.record[0] if self.record else 0):
            raise Conflict("another")
        self.record = ((self.record[0] if self.record else 0) + 1, body)
        self.now, self.stops = self.now + self.stops, 0.0
        if self.lost:
            self.lost -= 1
            raise Unavailable("no answer")
        return self.record[0]


@pytest.fixture
def store() -> Store:
    return Store()


def lease(store: Store, place: Place) -> Lease:
    return Lease(store, "kitchen", place, clock=lambda: store.now, ticks=lambda: store.now)


async def step(*leases: Lease) -> None:
    """What `run` does in one turn."""
    for one in leases:
        await one.look()


async def test_the_second_sidecar_of_a_name_is_refused_and_names_the_first(store: Store) -> None:
    first, second = lease(store, HERE), lease(store, OTHER)
    for _ in range(10):
        await step(first, second)
        store.now += 4
    assert first.allowed
    assert not first.problem
    assert second.state == REFUSED
    assert not second.allowed
    assert "gateway.id 'kitchen'" in second.problem
    assert "kitchen, /state/nats" in second.problem
    assert second.report().holder == Holder("kitchen", "/state/nats")


async def test_a_holder_that_is_gone_is_followed_after_the_lease_and_not_before(store: Store) -> None:
    await step(lease(store, HERE))
    second = lease(store, OTHER)
    await step(second)
    store.now += LEASE_SECONDS - 1
    await step(second)
    assert not second.allowed
    store.now += 1
    await step(second)
    assert second.allowed
    assert second.epoch == 2


async def test_a_restart_in_the_same_place_does_not_wait(store: Store) -> None:
    await step(lease(store, HERE))
    again = lease(store, HERE)
    await step(again)
    assert again.allowed
    assert again.epoch == 2


@pytest.mark.parametrize("place", [NEW_CONTAINER, CLONED_MACHINE])
async def test_the_same_installation_elsewhere_waits_unless_the_first_has_ended(store: Store, place: Place) -> None:
    first = lease(store, HERE)
    await step(first)
    waiting = lease(store, place)
    await step(waiting)
    assert not waiting.allowed
    await first.end()
    assert not first.allowed
    moved = lease(store, place)
    await step(moved)
    assert moved.allowed


async def test_another_installation_does_not_use_the_moment_of_a_restart(store: Store) -> None:
    first, second = lease(store, HERE), lease(store, OTHER)
    await step(first, second)
    await first.end()
    await step(second)
    assert not second.allowed
    again = lease(store, HERE)
    await step(again, second)
    assert again.allowed
    assert not second.allowed


@pytest.mark.parametrize("place", [COPY, CLONED_MACHINE])
async def test_a_copy_that_has_seen_the_first_alive_never_takes_over(store: Store, place: Place) -> None:
    """What waits in a copied inbox is delivered by the first, so a later takeover would deliver it twice."""
    first, copy = lease(store, HERE), lease(store, place)
    for _ in range(3):
        await step(first, copy)
        store.now += 4
    assert "copy of the installation" in copy.problem
    for _ in range(40):
        store.now += 4
        await step(copy)
    assert not copy.allowed


async def test_a_container_that_follows_another_takes_over_though_it_saw_it_alive(store: Store) -> None:
    first, second = lease(store, HERE), lease(store, NEW_CONTAINER)
    for _ in range(3):
        await step(first, second)
        store.now += 4
    for _ in range(4):
        store.now += 4
        await step(second)
    assert second.allowed


async def test_the_twin_of_a_machine_that_was_copied_while_it_ran_stands_back(store: Store) -> None:
    """Both hold the same revision and are in the same place in every respect: the second to write finds out."""
    first = lease(store, HERE)
    await step(first)
    twin = lease(store, HERE)
    twin.__dict__.update({k: v for k, v in first.__dict__.items() if not k.startswith("on_")})
    twin._nonces = list(first._nonces)
    for _ in range(20):
        store.now += 4
        await step(first, twin)
        assert first.allowed
    assert twin.state == REFUSED
    assert "copy" in twin.problem


async def test_an_answer_that_is_lost_loses_no_lease(store: Store) -> None:
    one = lease(store, HERE)
    store.lost = 1
    await step(one)
    assert not one.allowed
    await step(one)
    assert one.allowed
    store.lost = 1
    await step(one)
    assert one.allowed
    await step(one)
    assert one.state == HELD
    assert one.allowed


async def test_the_holder_goes_on_while_nats_is_away_but_not_after_it_stood_still_itself(store: Store) -> None:
    one = lease(store, HERE)
    await step(one)
    store.error = Unavailable("NATS is not reachable")
    for _ in range(20):
        store.now += 4
        await step(one)
        assert one.allowed
    assert one.write_error == "NATS is not reachable"
    store.now += LEASE_SECONDS  # SIGSTOP, or a suspended machine
    assert not one.allowed
    assert "stood still" in one.problem
    store.error = None
    await step(one)
    assert one.allowed
    assert not one.write_error


async def test_a_holder_that_wakes_up_after_somebody_took_over_is_refused(store: Store) -> None:
    first, second = lease(store, HERE), lease(store, OTHER)
    await step(first, second)
    store.now += LEASE_SECONDS
    await step(second)
    assert second.allowed
    assert not first.allowed
    await step(first)
    assert first.state == REFUSED
    assert second.allowed


async def test_an_answer_from_before_the_process_stood_still_allows_nothing(store: Store) -> None:
    first, second = lease(store, HERE), lease(store, OTHER)
    await step(first, second)
    store.stops = LEASE_SECONDS + 1
    await step(first)
    assert not first.allowed
    await step(second)
    store.now += LEASE_SECONDS
    await step(second)
    assert second.allowed
    await step(first)
    assert (first.state, first.allowed) == (REFUSED, False)


async def test_without_nats_nothing_is_delivered_before_the_first_answer(store: Store) -> None:
    store.error = Unavailable("NATS is not reachable")
    one = lease(store, HERE)
    await step(one)
    assert one.state == WAITING
    assert not one.allowed
    assert "NATS is not reachable" in one.problem


async def test_a_nats_that_has_no_room_for_leases_stops_nothing_and_says_so(store: Store) -> None:
    store.error = StreamConflict("maximum number of streams reached")
    one = lease(store, HERE)
    await step(one)
    assert one.state == UNGUARDED
    assert one.allowed
    assert "maximum number of streams reached" in one.report().last_error


async def test_a_record_that_cannot_be_read_is_nobodys(store: Store) -> None:
    store.record = (7, b"\xff what is this")
    one = lease(store, HERE)
    await step(one)
    assert one.allowed


def test_an_installation_keeps_its_id_and_a_copy_is_told_from_it(tmp_path: object) -> None:
    import shutil
    from pathlib import Path

    home = Path(str(tmp_path)) / "nats"
    place = place_of(home)
    assert place_of(home) == place
    assert oct((home / "installation-id").stat().st_mode & 0o777) == "0o600"
    shutil.copytree(home, home.with_name("copy"))
    copy = place_of(home.with_name("copy"))
    assert copy.installation == place.installation
    assert copy.is_copy_of(place)
    (home / "installation-id").write_text("")
    assert place_of(home).installation != place.installation
    assert msgspec.json.decode(msgspec.json.encode(place), type=Place) == place


@pytest.mark.parametrize(
    ("place", "ended", "age", "gone"),
    [
        (OTHER, False, LEASE_SECONDS - 1, False),
        (OTHER, False, -600.0, False),
        (OTHER, False, LEASE_SECONDS + 1, True),
        (OTHER, True, 0.0, True),
        (COPY, False, 1.0, False),
        (HERE, False, 1.0, True),
    ],
)
def test_a_gateway_is_gone_when_its_lease_ended_or_ran_out_or_was_ours(
    place: Place, ended: bool, age: float, gone: bool
) -> None:
    claim = msgspec.json.encode(Claim("office", place, "nonce", 3, 0.0, 0.0, ended))
    why = why_not_gone("office", (1000.0 - age, claim), HERE, 1000.0)
    assert (why == "") is gone
    assert gone or place.shown in why


def test_a_gateway_whose_lease_says_nothing_is_not_taken_for_gone() -> None:
    assert "no sidecar is known" in why_not_gone("office", None, HERE, 1000.0)
    assert "another version's" in why_not_gone("office", (0.0, b"\xff"), HERE, 1000.0)
