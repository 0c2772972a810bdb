"""An approval as the API shows it."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from openclaw_nats.contract import approvals as shapes
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.storage.approvals import ApprovalRow

_REPORT_SECONDS = 10.0


def shown(row: ApprovalRow, now: float) -> shapes.Approval:
    """A row as it is shown. `now` is in seconds since the Unix epoch."""
    use, problem = _use_of(row, now)
    return shapes.Approval(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]  # as storage/approvals.py wrote it
        agent=row.agent,
        session=row.session,
        route=row.route,
        dispatch=row.dispatch_id,
        events=msgspec.json.decode(row.events, type=list[str]),
        tool=row.tool,
        arguments=row.arguments,
        size=row.size,
        digest=row.digest,
        asked=row.asked,
        asked_at=format_seconds(row.first_at),
        last_asked_at=format_seconds(row.last_at),
        expires_at=format_seconds(row.expires_at),
        asking=format_seconds(row.prompt_until) if row.prompt_until > now and row.state == "pending" else UNSET,
        rule=row.rule or UNSET,
        answered_at=UNSET if row.answered_at is None else format_seconds(row.answered_at),
        answered_by=row.answered_by or UNSET,
        always=row.always or UNSET,
        turn=row.turn or UNSET,
        usable_until=format_seconds(row.grant_until) if row.grant_until else UNSET,
        use=use or UNSET,  # type: ignore[arg-type]
        used_at=UNSET if row.used_at is None else format_seconds(row.used_at),
        problem=problem or UNSET,
        earlier=UNSET if row.earlier is None else _earlier(row.earlier),
    )


def _earlier(text: str) -> shapes.EarlierApproval:
    number, use, used_at = msgspec.json.decode(text, type=tuple[int, shapes.GrantUse, float])
    return shapes.EarlierApproval(id=number, use=use, used_at=format_seconds(used_at))


def _use_of(row: ApprovalRow, now: float) -> tuple[str, str]:
    """(what became of an approval, why); its own record first, then how its turn stands."""
    if row.use or not row.turn:
        return row.use, row.problem
    if row.turn_state in ("sending", "failed"):
        return "waiting", row.problem or (row.turn_reason or "")
    if row.turn_state == "delivered":
        # A receipt may come before the turn (2026.3), and before what the plugin has to report of it.
        until = row.grant_until if row.turn_outcome == "accepted" else (row.turn_changed_at or 0) + _REPORT_SECONDS
        return ("waiting", row.problem) if until > now else ("unused", row.problem or "its turn did not make the call")
    return "unused", row.problem or row.turn_reason or "its turn is not known any more"
