"""What was signed without a time is known until its secret is replaced, in few bytes, and the oldest go first."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from openclaw_nats.audit.trail import Untraced
from openclaw_nats.contract.sources import RotateRequest, SourceRequest
from openclaw_nats.service.files import write_private
from openclaw_nats.sources import lasting
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.deliveries import Deliveries
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.sources.schemes.scheme import Received
from openclaw_nats.storage import source_deliveries, source_signatures
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.source_deliveries import NewDelivery

DAY = 86400.0
SECRET = "the-first-secret"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    one = Database(tmp_path / "x.db")
    yield one
    one.close()


def delivery(
    number: int, now: float, *, signed: int | None = None, secret: str = SECRET, source: str = "gh"
) -> NewDelivery:
    key = f"s:{hashlib.sha256(str(number if signed is None else signed).encode()).hexdigest()[:40]}"
    keys = [(f"d:{number}", now + 30 * DAY), (key, now + 30 * DAY)]
    made = lasting.lasting(secret, key)
    return NewDelivery(source, keys, f"{source}:{number}", "agent.events.webhook.gh.push", now, "", made)


async def take(known: Deliveries, one: NewDelivery) -> bool:
    """Whether it is a new one, which then is stored."""
    found = await known.begin(one)
    if found.fresh:
        known.stored(one, found)
    return found.fresh


async def tidy(known: Deliveries, now: float, *secrets: str, most: int = 100) -> None:
    await known.tidy(now, frozenset(("gh", lasting.lasting(one, "").signer) for one in secrets), most)


async def test_it_is_a_repetition_after_its_delivery_is_forgotten_under_whatever_id(database: Database) -> None:
    known, now = Deliveries(database), time.time()
    assert await take(known, delivery(1, now))
    for days in (31, 400):  # first before it was tidied up, then after
        later = now + days * DAY
        assert not await take(known, delivery(2, later, signed=1))
        await tidy(known, later, SECRET)
    assert await database.read(lambda db: db.execute("SELECT count(*) FROM source_deliveries").fetchone()[0]) == 0
    assert await known.remembered("gh") == (1, int(now))
    assert await take(known, delivery(3, later, source="other"))
    assert await take(known, delivery(4, later))


async def test_with_its_secret_it_goes(database: Database) -> None:
    known, now = Deliveries(database), time.time()
    await take(known, delivery(1, now))
    await take(known, delivery(2, now, secret="the-second-secret"))
    await tidy(known, now + 31 * DAY, SECRET, "the-second-secret")
    assert (await known.remembered("gh"))[0] == 2
    await tidy(known, now + 32 * DAY, "the-second-secret")
    assert (await known.remembered("gh"))[0] == 1
    assert not await take(known, delivery(3, now + 32 * DAY, signed=2, secret="the-second-secret"))
    await known.forget("gh")
    assert (await known.remembered("gh"))[0] == 0


async def test_nothing_goes_while_it_is_not_known_which_secrets_count(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "sources.json"
    path.write_text("{broken")
    signers = lasting.signers(SourceBook(path, write_private, Untraced()))
    assert signers is None
    known, now = Deliveries(database), time.time()
    await take(known, delivery(1, now))
    await tidy(known, now + 31 * DAY, SECRET)
    await known.tidy(now + 32 * DAY, signers, 100)
    assert (await known.remembered("gh"))[0] == 1


async def test_above_the_limit_the_oldest_go_and_the_newest_stay(database: Database) -> None:
    known, now = Deliveries(database), time.time()
    for number in range(120):
        await take(known, delivery(number, now + number))
    await tidy(known, now + 31 * DAY, SECRET, most=100)
    count, since = await known.remembered("gh")
    assert 90 <= count <= 100
    assert since == int(now + 120 - count)
    assert not await take(known, delivery(500, now + 31 * DAY, signed=119))


async def test_when_a_source_has_too_many_deliveries_their_signatures_stay(database: Database) -> None:
    known, now = Deliveries(database), time.time()
    for number in range(50):
        await take(known, delivery(number, now + number))
    await database.write(lambda db: source_deliveries.make_room(db, "gh", 20))
    assert (await known.remembered("gh"))[0] == 50
    assert not await take(known, delivery(500, now + 60, signed=0))


async def test_one_takes_less_than_32_bytes(tmp_path: Path) -> None:
    database = Database(tmp_path / "y.db")

    def fill(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO source_signers VALUES (1, 'gh', x'00')")
        made = ((hashlib.sha256(b"%d" % one).digest()[:12], 1_790_000_000 + one) for one in range(50_000))
        db.executemany("INSERT INTO source_signatures VALUES (1, ?, ?)", made)

    before = database.path.stat().st_size
    await database.write(fill)
    await database.checkpoint()
    size = (database.path.stat().st_size - before) / 50_000
    assert not await database.write(
        lambda db: source_signatures.remove_some(db, frozenset({("gh", b"\0")}), lasting.MOST_REMEMBERED)
    )
    database.close()
    assert size < 32


async def test_whose_secret_it_was_is_known_while_two_count(tmp_path: Path) -> None:
    book = SourceBook(tmp_path / "sources.json", write_private, Untraced())
    await book.add(SourceRequest(name="gh", type="github", secret=SECRET))
    source = await book.rotate("gh", RotateRequest(secret="the-second-secret", keep=60.0))
    scheme, secrets = SCHEMES["github"], book.secrets_of(source)
    for secret in secrets:
        received = Received(scheme.sign(b"{}", secret, source.options, 0.0, "d-1"), b"{}")
        assert lasting.signed_by(scheme, received, secrets, source) == secret
    found = lasting.signers(book)
    assert found is not None
    assert len(found) == 2
    await book.rotate("gh", RotateRequest(secret="the-third-secret", keep=0.0))
    assert lasting.signers(book) == {("gh", lasting.lasting("the-third-secret", "").signer)}
