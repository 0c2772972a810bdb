"""Jobs and timers of a gateway.id that this installation had before: they go on firing, and only `--all` lists them."""

from __future__ import annotations

import shlex

from openclaw_nats.doctor.finding import Finding, note
from openclaw_nats.fleet.lease import claim_of
from openclaw_nats.fleet.place import FILE
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.reading import read_stream
from openclaw_nats.jetstream.streams import LEASES, SCHEDULES
from openclaw_nats.schedules import names
from openclaw_nats.settings import Settings

_MOST = 1000  # leases that are looked at


async def former_names(connection: Connection, settings: Settings) -> list[Finding]:
    """A note for each former id that still has jobs or timers; what can't be read is left out. Raises Unavailable."""
    path = settings.home / FILE
    if not path.exists() or "error" in await connection.api(f"STREAM.INFO.{LEASES}"):
        return []
    installation = path.read_text(errors="replace").strip()
    found = []
    async for message in read_stream(connection, LEASES, "agent.leases.>", limit=_MOST):
        claim = claim_of(message.body) if message is not None else None
        if claim is None or claim.place.installation != installation or claim.gateway_id == settings.gateway_id:
            continue
        former = claim.gateway_id
        jobs = len(await _subjects(connection, f"agent.schedules.job.{names.key_of(former)}.>"))
        keys = [one.rpartition(".")[2] for one in await _subjects(connection, names.TIMERS[0])]
        timers = sum("=" in key and names.may_be_of(former, key) for key in keys)
        if jobs or timers:
            text = f"cron jobs: {jobs}, timers: {timers} of {former!r}, the gateway.id that was here before"
            fix = (
                "They still fire. `openclaw-nats cron list --all` shows them; `openclaw-nats cron take NAME --from "
                f"{shlex.quote(former)}` (or `timers take`) makes one of them yours."
            )
            found.append(note("gateway.id", text, fix))
    return found


async def _subjects(connection: Connection, pattern: str) -> list[str]:
    answer = await connection.api(f"STREAM.INFO.{SCHEDULES}", {"subjects_filter": pattern})
    return list(answer.get("state", {}).get("subjects") or {})
