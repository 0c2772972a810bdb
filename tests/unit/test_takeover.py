"""Another machine's place under our name counts for an hour, whatever the clock says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from openclaw_nats.inbound.positions import TAKEOVER_SECONDS, Takeover
from openclaw_nats.ports import Position
from openclaw_nats.storage.database import Database

PATTERN = "agent.events.custom.x"
MONTH = 30 * 86400.0


class Source:
    """A consumer that another machine has left behind."""

    async def standing(self) -> SimpleNamespace:
        return SimpleNamespace(position=Position("stream", (PATTERN,), 10))


@pytest.mark.parametrize(
    ("later", "begins"),
    [(0.0, 10), (TAKEOVER_SECONDS - 1, 10), (TAKEOVER_SECONDS + 1, 1000), (-MONTH, 1000), (-1.0, 1000)],
)
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_new_route_goes_on_there_for_an_hour_and_not_after_a_clock_was_put_right(
    tmp_path: Path, later: float, begins: int, restarted: bool
) -> None:
    now = 1_800_000_000.0
    database = Database(tmp_path / "sidecar.db")
    one = Takeover(database, Source(), lambda: now)  # type: ignore[arg-type]
    assert await one.after(PATTERN, 1000) == 10
    now += later
    if restarted:
        one = Takeover(database, Source(), lambda: now)  # type: ignore[arg-type]
        await one.load()
        assert bool(one.note) == (begins == 10)
    assert await one.after(PATTERN, 1000) == begins
    database.close()
