"""Answers to approvals, as the audit log keeps them."""

from __future__ import annotations

from openclaw_nats.audit.act import Act
from openclaw_nats.contract.approvals import CallReport
from openclaw_nats.storage.approvals import ApprovalRow

_ANSWERS = {"allowed": "approvals.approve", "always": "approvals.approve", "denied": "approvals.deny"}


def act_of(what: str, row: ApprovalRow, rule: str = "") -> Act:
    """An answer as the audit log keeps it: the call by its digest, not its arguments."""
    asked = {"tool": row.tool, "digest": row.digest, "agent": row.agent, "session": row.session, "route": row.route}
    return Act(what, f"approval {row.id}", after=asked | ({"always": rule} if rule else {}))


def told_act(report: CallReport, row: ApprovalRow | None, now: float) -> Act | None:
    """An answer of ours that OpenClaw's prompt got, for the audit log: once, when it is taken over."""
    if not report.by or report.what not in _ANSWERS or row is None or row.answered_at != now:
        return None
    return act_of(_ANSWERS[report.what], row)
