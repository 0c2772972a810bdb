"""Signatures that verify until their secret is replaced, as rows of about 26 bytes: a digest, and when it came.

They are in here from when their delivery is forgotten (source_deliveries.py), so that a delivery costs no row more
while it is taken in.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

STEP = 20_000  # rows that one commit removes


@dataclass(frozen=True, slots=True)
class Lasting:
    """A signature without a time of its own: by whose secret, and what; digests that are keyed with the secret."""

    signer: bytes
    digest: bytes


def knows(db: sqlite3.Connection, source: str, one: Lasting) -> bool:
    """Whether it came before."""
    query = (
        "SELECT 1 FROM source_signers AS by JOIN source_signatures AS known ON known.signer = by.id "
        "WHERE by.source = ? AND by.signer = ? AND known.digest = ?"
    )
    return db.execute(query, (source, one.signer, one.digest)).fetchone() is not None


def keep(db: sqlite3.Connection, which: str, values: Sequence[object]) -> None:
    """Keep the signatures of deliveries that are about to go: `which` is a condition on their rows."""
    rows = f"FROM source_deliveries WHERE lasting IS NOT NULL AND {which}"
    db.execute(f"INSERT OR IGNORE INTO source_signers (source, signer) SELECT DISTINCT source, signer {rows}", values)
    db.execute(
        "INSERT OR IGNORE INTO source_signatures (signer, digest, at) SELECT (SELECT id FROM source_signers AS by "  # noqa: S608
        "WHERE by.source = source_deliveries.source AND by.signer = source_deliveries.signer), lasting, "
        f"CAST(first_at AS INTEGER) {rows}",
        values,
    )


def count(db: sqlite3.Connection, source: str) -> tuple[int, int | None]:
    """How many of a source are remembered, and since when (Unix seconds), its deliveries' own included."""
    query = (
        "SELECT count(*), min(at) FROM (SELECT at FROM source_signers AS by JOIN source_signatures AS known "
        "ON known.signer = by.id WHERE by.source = ? "
        "UNION ALL SELECT CAST(first_at AS INTEGER) FROM source_deliveries WHERE source = ? AND lasting IS NOT NULL)"
    )
    found: tuple[int, int | None] = tuple(db.execute(query, (source, source)).fetchone())
    return found


def remove_some(db: sqlite3.Connection, signers: frozenset[tuple[str, bytes]], most: int) -> bool:
    """Remove signatures by secrets that count no more, then of each source what is above `most`, the oldest first.

    At most STEP of them; whether there may be more. `signers` are those that count, each with its source.
    """
    known = db.execute("SELECT id, source, signer FROM source_signers").fetchall()
    by_source: dict[str, list[int]] = {}
    for number, source, signer in known:
        if (source, signer) in signers:
            by_source.setdefault(source, []).append(number)
            continue
        gone = "(SELECT digest FROM source_signatures WHERE signer = ? LIMIT ?)"
        query = f"DELETE FROM source_signatures WHERE signer = ? AND digest IN {gone}"  # noqa: S608
        if db.execute(query, (number, number, STEP)).rowcount < STEP:
            db.execute("DELETE FROM source_signers WHERE id = ?", (number,))
        return True
    return any([_remove_oldest(db, numbers, most) for numbers in by_source.values()])


def _remove_oldest(db: sqlite3.Connection, signers: list[int], most: int) -> bool:
    here = f"signer IN ({','.join('?' * len(signers))})"
    there: int = db.execute(f"SELECT count(*) FROM source_signatures WHERE {here}", signers).fetchone()[0]  # noqa: S608
    if there <= most:
        return False
    surplus = min(there - most + most // 20, STEP)  # some more: to find the oldest takes time
    oldest = f"(SELECT signer, digest FROM source_signatures WHERE {here} ORDER BY at LIMIT ?)"  # noqa: S608
    db.execute(f"DELETE FROM source_signatures WHERE (signer, digest) IN {oldest}", (*signers, surplus))  # noqa: S608
    return there - surplus > most


def forget_source(db: sqlite3.Connection, source: str) -> None:
    """All of a source that is gone."""
    mine = "(SELECT id FROM source_signers WHERE source = ?)"
    db.execute(f"DELETE FROM source_signatures WHERE signer IN {mine}", (source,))  # noqa: S608
    db.execute("DELETE FROM source_signers WHERE source = ?", (source,))
