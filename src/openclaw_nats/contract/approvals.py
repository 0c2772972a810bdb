"""Approvals that wait: guarded calls of tools that were refused for want of an answer, and what became of them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Json, Time

ApprovalState = Literal["pending", "approved", "denied", "expired"]
GrantUse = Literal["waiting", "begun", "done", "failed", "unused"]
MAX_NAME = 200
MAX_SESSION = 1024


class CallReport(Struct, rename="camel"):
    """What the plugin reports of a guarded call, through its spool. `key` names one asking.

    `what`: `asked` (OpenClaw itself asks the operator, until `until`, in milliseconds), `refused` (nobody answered),
    `allowed`, `always` and `denied` (OpenClaw's own prompt was answered), and of a call that was approved `begun` and
    `ended`. `digest` is of the exact arguments, `arguments` what may be shown of them, `size` how long they are, `rule`
    the narrowest rule of a route's `tools` that lets this call through; empty when there is none. `by` is who answered
    OpenClaw's own prompt, if that was by us.
    """

    key: Annotated[str, Meta(min_length=8, max_length=64)]
    what: Literal["asked", "refused", "allowed", "always", "denied", "begun", "ended"]
    agent: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    session: Annotated[str, Meta(max_length=MAX_SESSION)] = ""
    run: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    route: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    dispatch: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    tool: Annotated[str, Meta(max_length=MAX_NAME)] = ""
    digest: Annotated[str, Meta(max_length=128)] = ""
    arguments: Json = None
    size: Annotated[int, Meta(ge=0, le=1 << 53)] = 0
    rule: Annotated[str, Meta(max_length=500)] = ""
    until: float = 0.0
    ok: bool = False
    by: Annotated[str, Meta(max_length=MAX_NAME)] = ""


class EarlierApproval(Answer, kw_only=True):
    """The approval that let exactly the same call of the same session through before. When its `use` is `begun`, nobody
    knows whether the call ran: a process was killed.
    """

    id: int
    use: GrantUse
    used_at: Time


class Approval(Answer, kw_only=True):
    """One guarded call. `arguments` is what may be shown of them as JSON, redacted and cut; the answer counts for the
    exact ones. `asked` counts how often it was asked for while it waited. `asking` is until when OpenClaw itself asks,
    too. `rule` is what `always` would add to the route's `tools`; without it that can't be.

    `use` says what became of an approval: `waiting` for its turn, `begun` (the call was let through, and its end is not
    known), `done`, `failed`, or `unused` (`problem` says why). `usableUntil`: after that it lets nothing through.
    `earlier` is there when the same call was let through before.
    """

    id: int
    state: ApprovalState
    agent: str
    session: str
    route: str
    dispatch: str
    events: list[str]
    tool: str
    arguments: str
    size: int
    digest: str
    asked: int
    asked_at: Time
    last_asked_at: Time
    expires_at: Time
    asking: Time | UnsetType = UNSET
    rule: str | UnsetType = UNSET
    answered_at: Time | UnsetType = UNSET
    answered_by: str | UnsetType = UNSET
    always: str | UnsetType = UNSET
    turn: str | UnsetType = UNSET
    usable_until: Time | UnsetType = UNSET
    use: GrantUse | UnsetType = UNSET
    used_at: Time | UnsetType = UNSET
    problem: str | UnsetType = UNSET
    earlier: EarlierApproval | UnsetType = UNSET


class Approvals(Answer, kw_only=True):
    """A list, newest first. `pending` counts all that wait for an answer; `notKept` the calls that were refused since
    the start of the sidecar and not kept, because too many of their route or agent wait already.
    """

    approvals: list[Approval]
    pending: int
    not_kept: int
    cursor: str = ""


class ApproveRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Let the call run once; with `always` such calls of the route need no answer any more."""

    always: bool = False
