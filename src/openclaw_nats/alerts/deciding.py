"""What a channel is told, and when: pure, with the time as an argument."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from openclaw_nats.inbound.quiet_hours import QuietHours
from openclaw_nats.storage.alerts import ConditionRow, ToldRow

SETTLE_SECONDS = 30.0  # what comes back within them was never over


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong: the same `key` is the same thing. `page` is the dashboard's page about it."""

    key: str
    kind: str
    text: str
    page: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How a channel wants to be told: seconds, and kinds that it does not want."""

    window: float
    again: float
    quiet: QuietHours | None = None
    without: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Digest:
    """What one message tells."""

    raised: list[ConditionRow]
    again: list[ConditionRow]
    recovered: list[ToldRow]


def follow(
    known: Mapping[str, ConditionRow], found: Collection[Condition], unknown: Collection[str], now: float
) -> dict[str, ConditionRow]:
    """What is wrong from now on. Of the kinds that are `unknown` at the moment nothing begins or ends."""
    after = {}
    for one in found:
        before = known.get(one.key)
        since = before.since if before is not None else now
        after[one.key] = ConditionRow(one.key, one.kind, one.text, one.page, since)
    for key, row in known.items():
        if key in after:
            continue
        if row.kind in unknown:
            after[key] = row
        elif row.over_at is None:
            after[key] = replace(row, over_at=now)
        elif now - row.over_at < SETTLE_SECONDS:
            after[key] = row
    return after


def due(
    policy: Policy, known: Mapping[str, ConditionRow], told: Mapping[str, ToldRow], last_made: float, now: float
) -> Digest | None:
    """What to tell a channel now; None for nothing."""
    if 0 <= now - last_made < policy.window or (policy.quiet is not None and policy.quiet.until(now) is not None):
        return None
    lasting = [one for one in known.values() if one.over_at is None and one.kind not in policy.without]
    raised = [one for one in lasting if one.key not in told]
    again = [one for one in lasting if one.key in told and now - told[one.key].told_at >= policy.again]
    recovered = [one for key, one in told.items() if key not in known]
    if recovered or again or any(now - one.since >= policy.window for one in raised):
        return Digest(raised, again, recovered)
    return None
