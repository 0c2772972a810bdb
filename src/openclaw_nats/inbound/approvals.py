"""Approvals that wait: guarded calls that got no answer in time, kept until the operator answers or their time is over.

The plugin hands each over through its spool (outbound/ingest.py), and is answered after the commit, so that none is
lost. The same call asked for again while it waits is the same approval. The first answer counts, wherever it is given:
as long as OpenClaw itself asks, its Gateway gets ours, and says which was first. An approval and the dispatch of its
turn are one commit: whatever is killed, the turn is sent until it has ended, always with the same grant, which the
plugin lets through once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from openclaw_nats.audit.acting import acting, actor
from openclaw_nats.audit.trail import Trail, Untraced
from openclaw_nats.contract import approvals as shapes
from openclaw_nats.contract.approvals import CallReport
from openclaw_nats.contract.plugin import Grant
from openclaw_nats.errors import Conflict, InvalidInput, NotFound, OpenClawNatsError, Unavailable
from openclaw_nats.events.bus_events import bus_message
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.messages import Message
from openclaw_nats.guard.calls import data_of, instruction_of, shown_arguments
from openclaw_nats.guard.tool_rules import check_rule
from openclaw_nats.inbound.approval_acts import act_of, told_act
from openclaw_nats.inbound.approval_views import shown
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.parcels import granted_document
from openclaw_nats.inbound.route import Route
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.target import target_from
from openclaw_nats.ports import EventLog
from openclaw_nats.storage import approvals as rows
from openclaw_nats.storage import inbox
from openclaw_nats.storage.approvals import ApprovalRow, Bounds, Untold
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.rows import Dispatch

log = structlog.get_logger(__name__)

MOST = 1000
MOST_OF_ONE = 250
KEPT = 5000  # of those that are answered
PRIORITY = 9
SUBJECTS = {"requested": "agent.events.approval.requested", "answered": "agent.events.approval.answered"}
_LOOK_SECONDS = 1.0
_TIDY_SECONDS = 60.0
_REPORT_SECONDS = 20.0
_REPORT_PAUSE = 0.05
_PROMPT_GRACE = 10.0  # seconds: the Gateway's own answer may come a little after its time
_decoder = msgspec.json.Decoder(CallReport)


class Approvals:
    """Keeps them, answers them, and tells of both. `keep` and `usable` as the settings of that name, in seconds;
    `forget_after` is how long what was answered is kept.
    """

    def __init__(
        self,
        database: Database,
        book: RouteBook,
        flow: FlowControl,
        events: EventLog,
        identity: Identity,
        gateway_id: str,
        *,
        keep: float,
        usable: float,
        forget_after: float,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
        trail: Trail | None = None,
        answer_prompt: Callable[[str, str, str], Awaitable[bool]] | None = None,
    ) -> None:
        self._database = database
        self._answer_prompt = answer_prompt or _no_prompts  # by key, decision and who: whether that counts
        self._trail = trail or Untraced(database)
        self._book = book
        self._flow = flow
        self._events = events
        self._identity = identity
        self._gateway_id = gateway_id
        self._bounds = Bounds(keep, MOST, MOST_OF_ONE)
        self._usable = usable
        self._forget_after = forget_after
        self._wake = wake
        self._clock = clock
        self.redact: Callable[[bytes], Awaitable[bytes]] = _as_it_is  # JSON, without what the operator keeps secret
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self.not_kept = 0
        self.pending = database.now(rows.pending)

    async def take(self, reports: Sequence[bytes]) -> None:
        """Take reports of the plugin over; raise Unavailable when they can't be written down now."""
        async with self._lock:
            for data in reports:
                try:
                    report = _decoder.decode(data)
                    arguments = await self._masked(report)
                except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
                    log.error("approval.unreadable", error=str(error)[:200])
                    continue
                await self._take(report, arguments)
            await self._count()

    async def _masked(self, report: CallReport) -> str:
        """The arguments as they may be shown. A rule that holds what is kept secret is none: it would be shown, too."""
        shown = {"arguments": report.arguments, "rule": report.rule}
        try:
            masked = msgspec.json.decode(await self.redact(msgspec.json.encode(shown)))
        except InvalidInput as error:  # they can't be masked: the call is kept all the same, and they are not shown
            log.warning("approval.not_masked", tool=report.tool, error=str(error)[:200])
            report.rule = ""
            return shown_arguments({"not shown": str(error)[:200]})
        if masked["rule"] != report.rule or (report.rule and not _is_rule(report.rule)):
            report.rule = ""
        return shown_arguments(masked["arguments"])

    async def _take(self, report: CallReport, arguments: str) -> None:
        now = self._clock()
        if report.what == "asked":
            report.until = min(report.until, (now + 600) * 1000)
        with acting(report.by or actor()):
            lost, row = await self._trail.write(
                lambda db: rows.take(db, report, arguments, now, self._bounds),
                lambda done: told_act(report, done[1], now),
            )
        if lost:
            self.not_kept += 1
            log.warning("approval.not_kept", route=report.route, agent=report.agent, tool=report.tool)
        elif row is not None:
            log.info("approval.reported", approval=row.id, what=report.what, route=row.route, tool=row.tool)
            by = report.by or rows.PROMPT
            if report.what == "always" and row.answered_by == by and not (row.always or row.problem):
                await self._always_elsewhere(row, report.by or "the prompt of OpenClaw")

    async def _always_elsewhere(self, row: ApprovalRow, by: str) -> None:
        """OpenClaw's own prompt was answered for good: what can't be had for good counts once."""
        always, problem = row.rule, ""
        try:
            with acting(by):
                await self._add_rule(row)
        except OpenClawNatsError as error:
            if isinstance(error, Unavailable):
                raise
            always, problem = "", f"it counts once: {error}"
        await self._database.write(lambda db: rows.note_always(db, row.id, always, problem))

    async def approve(self, number: int, by: str, *, always: bool = False) -> shapes.Approval:
        """Let a call run once, and with `always` such calls of its route from now on.

        Raises NotFound, Conflict when it does not wait any more, and InvalidInput when there is no way to it.
        """
        if (found := await self._answered_there(number, "allow-always" if always else "allow-once", by)) is not None:
            return found
        async with self._lock:
            row = await self._waiting(number)
            route = self._book.get(row.route_id)
            if route is None:
                raise Conflict(
                    f"approval {number} can't be approved: {self._book.why_missing(row.route_id)}", hint="Deny it."
                )
            if always:
                await self._add_rule(row)
            now = self._clock()
            dispatch = self._dispatch(row, route, now)
            rule = row.rule if always else ""

            def job(db: Connection) -> bool:
                if not rows.answer(db, row.id, "approved", by, now, rule):
                    return False
                rows.give_turn(db, row.id, dispatch.id, now + self._usable)
                inbox.begin_apart(db, dispatch, f"approved by {by}", now)
                return True

            act = act_of("approvals.approve", row, rule)
            if not await self._trail.write(job, lambda done: act if done else None):
                await self._waiting(number)  # says who was first
            self._flow.budgets.spend(now, row.route_id)
            self._flow.retry(target_from(msgspec.json.decode(dispatch.target)).lane, dispatch)
            self._wake()
            log.warning("approval.approved", approval=number, by=by, always=rule, tool=row.tool, route=row.route)
            return await self._answered(number)

    async def deny(self, number: int, by: str) -> shapes.Approval:
        """The call stays refused; raise NotFound, or Conflict when it does not wait any more."""
        if (found := await self._answered_there(number, "deny", by)) is not None:
            return found
        async with self._lock:
            row = await self._waiting(number)
            now, act = self._clock(), act_of("approvals.deny", row)
            if not await self._trail.write(
                lambda db: rows.answer(db, number, "denied", by, now), lambda done: act if done else None
            ):
                await self._waiting(number)
            log.warning("approval.denied", approval=number, by=by)
            return await self._answered(number)

    async def _answered_there(self, number: int, decision: str, by: str) -> shapes.Approval | None:
        """Give an answer to OpenClaw's own prompt, as long as that is open; None when it is not."""
        row = await self._row(number)
        if row.state != "pending" or row.prompt_until + _PROMPT_GRACE <= self._clock():
            return None
        if decision == "allow-always":
            self._check_always(row)
        try:
            counts = await self._answer_prompt(row.key, decision, by)
        except Unavailable as error:
            raise Conflict(
                f"OpenClaw itself asks about approval {number} until {format_seconds(row.prompt_until)}, and does not "
                f"take this answer: {error}",
                hint="Answer there, or here after that.",
            ) from error
        for _ in range(int(_REPORT_SECONDS / _REPORT_PAUSE)):  # what became of it comes through the plugin's spool
            if (await self._row(number)).state != "pending":
                break
            await asyncio.sleep(_REPORT_PAUSE)
        else:
            raise Unavailable(f"OpenClaw has the answer to approval {number}, and did not say yet what it did")
        async with self._lock:  # by then that report is taken over, with what it adds to the route
            if not counts:
                await self._waiting(number)  # says who was first
            return await self._answered(number)

    async def _answered(self, number: int) -> shapes.Approval:
        await self._count()
        return await self.one(number)

    async def _waiting(self, number: int) -> ApprovalRow:
        """An approval that can be answered now."""
        row = await self._row(number)
        if row.state != "pending":
            when = format_seconds(row.answered_at or 0)
            what = "expired" if row.state == "expired" else f"was {row.state} by {row.answered_by}"
            raise Conflict(f"approval {number} {what} at {when}: the first answer counts")
        now = self._clock()
        if row.prompt_until and row.prompt_until + _PROMPT_GRACE > now:
            raise Conflict(
                f"OpenClaw itself asks about approval {number} until {format_seconds(row.prompt_until)}",
                hint="Answer there, or here after that.",
            )
        if row.expires_at <= now:
            raise Conflict(f"approval {number} expired at {format_seconds(row.expires_at)}")
        return row

    def _check_always(self, row: ApprovalRow) -> Route:
        """The route whose turns may make such calls from now on; raise InvalidInput when that can't be."""
        route = self._book.get(row.route_id)
        why = ""
        if route is None:
            why = self._book.why_missing(row.route_id)
        elif not row.rule:
            why = "no rule of `tools` lets this call through and nothing else"
        elif route.maker is not None:
            why = f"the agent {route.maker.agent} made its route, and may change it"
        elif route.owner:
            why = "it belongs to a job or timer, which has no tools of its own"
        if route is None or why:
            hint = "Approve it once, or change the route with `openclaw-nats routes edit NAME --tools`."
            raise InvalidInput(f"always is not possible: {why}", hint=hint, field="always")
        return route

    async def _add_rule(self, row: ApprovalRow) -> None:
        """Let the route's turns make such calls from now on; raise InvalidInput when that can't be."""
        route = self._check_always(row)
        tools = [route.tools] if isinstance(route.tools, str) else list(route.tools)
        tools = [one for one in tools if one != "none"]
        if row.rule not in tools and "all" not in tools:
            await self._book.change(route.name, {"tools": [*tools, row.rule]})

    def _dispatch(self, row: ApprovalRow, route: Route, now: float) -> Dispatch:
        grant = Grant(row.key, row.tool, row.digest, row.session, int((now + self._usable) * 1000))
        return Dispatch(
            id=uuid7(int(now * 1000)),
            route_id=route.id,
            route=route.name,
            flow_key="",
            target=granted_document(route, row.agent, grant, instruction_of(row.tool), self._book.agents),
            body=data_of(row.tool, row.arguments),
            events=1,
            priority=PRIORITY,
            hops=row.hops,
            position=0,
            created_at=now,
            due_at=now,
            changed_at=now,
        )

    # What is shown ---------------------------------------------------------------------------------------------

    async def one(self, number: int) -> shapes.Approval:
        """One approval; raise NotFound."""
        return shown(await self._row(number), self._clock())

    async def every(self, state: str, before: int, limit: int) -> shapes.Approvals:
        """A list, newest first, with numbers below `before`."""
        found = await self._database.read(lambda db: rows.listed(db, state, before, limit))
        cursor = str(found[-1].id) if len(found) == limit else ""
        every = [shown(row, self._clock()) for row in found]
        return shapes.Approvals(approvals=every, pending=self.pending, not_kept=self.not_kept, cursor=cursor)

    async def _row(self, number: int) -> ApprovalRow:
        row = await self._database.read(lambda db: rows.one(db, number))
        if row is None:
            raise NotFound(f"there is no approval {number}", hint="`openclaw-nats approvals` lists those that wait.")
        return row

    async def _count(self) -> None:
        self.pending = await self._database.read(rows.pending)
        self._changed.set()

    # What is told ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Publish what there is to tell, and end what has waited too long, until cancelled."""
        tidied = -_TIDY_SECONDS
        while True:
            self._changed.clear()
            try:
                await self._expire()
                while told := await self._database.read(lambda db: rows.untold(db, 50)):
                    await self._events.append([self._message(one) for one in told])
                    await self._database.write(lambda db, done=told: rows.tell(db, done))  # type: ignore[misc]
                if time.monotonic() - tidied > _TIDY_SECONDS:
                    await self._forget()
                    tidied = time.monotonic()
            except Unavailable as error:
                log.debug("approvals.wait", error=str(error))
                await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _forget(self) -> None:
        before = self._clock() - self._forget_after
        await self._database.write(lambda db: rows.forget(db, before, KEPT))

    async def _expire(self) -> None:
        if not self.pending:
            return
        now = self._clock()
        async with self._lock:
            if expired := await self._database.write(lambda db: rows.expire(db, now)):
                log.warning("approvals.expired", approvals=expired)
                await self._count()

    def _message(self, told: Untold) -> Message:
        """An event about an approval: what it is, never its arguments. For the loop guard as deep as its turn's."""
        row = told.row
        at = row.first_at if told.what == "requested" else row.answered_at or row.first_at
        data: dict[str, object] = {
            "approval": row.id,
            "tool": row.tool,
            "agent": row.agent,
            "session": row.session,
            "route": row.route,
            "dispatch": row.dispatch_id,
        }
        if told.what == "requested":
            data["expiresAt"] = format_seconds(row.expires_at)
        else:
            data |= {"answer": row.state, "by": row.answered_by} | ({"always": row.always} if row.always else {})
        return bus_message(
            self._identity,
            self._gateway_id,
            SUBJECTS[told.what],
            data,
            event_id=f"{row.key}-{told.what}",
            milliseconds=int(at * 1000),
            hops=row.hops + 1,
            causation=row.dispatch_id,
        )


async def _no_prompts(_key: str, _decision: str, _by: str) -> bool:
    raise Unavailable("no plugin is connected")


async def _as_it_is(data: bytes) -> bytes:
    return data


def _is_rule(rule: str) -> bool:
    try:
        check_rule(rule)
    except OpenClawNatsError:
        return False
    return True
