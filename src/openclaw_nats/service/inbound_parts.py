"""The way in, put together: consumer → intake → inbox → flow control → delivery → the ways to the targets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from prometheus_client import CollectorRegistry

from openclaw_nats.audit.trail import Trail
from openclaw_nats.events.identity import Identity, event_of
from openclaw_nats.gateway.channel import PluginChannel
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.gateway.sender import GatewaySender
from openclaw_nats.gateway.webhook import Webhooks
from openclaw_nats.health.deliveries import DeliveriesReport
from openclaw_nats.inbound.approvals import Approvals
from openclaw_nats.inbound.budgets import Budgets, Limit, share_of
from openclaw_nats.inbound.costs import Costs
from openclaw_nats.inbound.dead_letters import DeadLetters
from openclaw_nats.inbound.delivery import Deliveries
from openclaw_nats.inbound.documents import Documents
from openclaw_nats.inbound.dry_run import DryRun
from openclaw_nats.inbound.flow_control import FlowControl
from openclaw_nats.inbound.forgeries import Forgeries
from openclaw_nats.inbound.housekeeping import Housekeeping
from openclaw_nats.inbound.inbox_service import InboxService
from openclaw_nats.inbound.inbox_space import InboxSpace
from openclaw_nats.inbound.intake import Intake
from openclaw_nats.inbound.judging import Judge
from openclaw_nats.inbound.loop_guard import LoopGuard
from openclaw_nats.inbound.losses import Losses
from openclaw_nats.inbound.meters import InboundMeters
from openclaw_nats.inbound.notices import PAUSE_NOTICES, Notices
from openclaw_nats.inbound.pauses import Pauses
from openclaw_nats.inbound.positions import SavedPositions, Takeover
from openclaw_nats.inbound.purses import Purse
from openclaw_nats.inbound.render_process import RenderProcesses
from openclaw_nats.inbound.rendering import Renderer
from openclaw_nats.inbound.replays import Replays
from openclaw_nats.inbound.republish import Republisher
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.inbound.stream_contents import StreamContents
from openclaw_nats.inbound.stream_trial import StreamTrial
from openclaw_nats.inbound.target import TURN_KINDS
from openclaw_nats.inbound.waking import owner_of_tick
from openclaw_nats.inbound.why import WhyNot
from openclaw_nats.insight.spending import SpendingView
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.consumer import JetStreamSource
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.ports import Gate, Sender
from openclaw_nats.service.beginning import Beginning
from openclaw_nats.settings import Settings
from openclaw_nats.storage import costs as cost_rows
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database

_DAY = 86400.0
_KNOWN_PLUGIN = "plugin can run agents"
_SEEN_PLUGIN = "plugin was connected"


@dataclass
class Inbound:
    """The parts of the way in; `runs` are the tasks that it needs."""

    settings: Settings
    source: JetStreamSource
    losses: Losses
    database: Database
    book: RouteBook
    flow: FlowControl
    intake: Intake
    deliveries: Deliveries
    channel: PluginChannel
    inbox: InboxService
    dry_run: DryRun
    why: WhyNot
    spending: SpendingView
    notices: Notices
    housekeeping: Housekeeping
    health: DeliveriesReport
    dead_letters: DeadLetters
    processes: RenderProcesses
    judge: Judge
    trial_judge: Judge
    session: aiohttp.ClientSession
    pauses: Pauses
    costs: Costs
    approvals: Approvals
    replays: Replays

    def runs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Every task, by name."""
        return {
            "intake": self.intake.run,
            "deliveries": self.deliveries.run,
            "plugin-channel": self.channel.watch,
            "dead-letters": self.dead_letters.run,
            "notices": self.notices.run,
            "losses": self.losses.run,
            "housekeeping": self.housekeeping.run,
            "pauses": self.pauses.run,
            "approvals": self.approvals.run,
            "replays": self.replays.run,
        }

    async def close(self) -> None:
        """After the tasks: close what they used, the database last."""
        await self.session.close()
        await self.processes.close()
        await self.judge.close()
        await self.trial_judge.close()
        await asyncio.to_thread(self.database.close)


def build_inbound(
    settings: Settings,
    database: Database,
    identity: Identity,
    connection: Connection,
    event_log: JetStreamEventLog,
    registry: CollectorRegistry,
    gate: Gate,
    correction: Callable[[], float],
    beginning: Beginning,
    trail: Trail,
) -> Inbound:
    """Wire the way in and take up what the last process left; needs a running event loop."""
    meters = InboundMeters(registry)
    limits = (
        Limit("budget.turns_per_hour", settings.budget.turns_per_hour, 3600),
        Limit("budget.turns_per_day", settings.budget.turns_per_day, _DAY),
        Limit("budget.route_turns_per_hour", settings.budget.route_turns_per_hour, 3600),
    )
    replay_limit = Limit("budget.replay_turns_per_hour", settings.budget.replay_turns_per_hour, 3600)
    shares = share_of(limits[:2], settings.agents.budget_share)
    flow = FlowControl(
        Budgets(limits[:2], limits[2], shares, settings.budget.reserve, replay_limit),
        settings.delivery.max_text,
        correction,
    )
    guard = LoopGuard(settings.delivery.max_hops)
    source = JetStreamSource(connection, settings.gateway_id, SavedPositions(database))
    book = RouteBook(database, source, flow, trail=trail)
    book.takeover = takeover = Takeover(database, source)
    trial_judge = Judge()  # not the one of what comes in: a slow condition that is saved must not hold that up
    book.trial = StreamTrial(event_log.newest, trial_judge)
    book.load()

    def holds_changed() -> None:
        flow.holds_changed()
        deliveries.wake()

    def cost_changed() -> None:
        flow.budgets_changed()
        deliveries.wake()

    if per_day := settings.budget.cost_per_day:
        flow.budgets.purses.append(Purse("budget.cost_per_day", per_day, _DAY))
        if settings.agents.budget_share < 1:
            share = per_day * settings.agents.budget_share
            flow.budgets.purses.append(Purse("budget.cost_per_day (agents.budget_share)", share, _DAY, agents=True))
    prices = {name: dict(kinds) for name, kinds in settings.budget.prices}
    costs = Costs(database, flow.budgets, prices, cost_changed)
    pauses = Pauses(
        database,
        flow.holds,
        number_of=lambda name: book.named(name)[0].id,
        name_of=book.name_of,
        changed=holds_changed,
        trail=trail,
    )
    documents = Documents(database)
    processes = RenderProcesses()
    renderer = Renderer(processes, settings.delivery.max_text)
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,  # a webhook's small answer may unpack to gigabytes
        headers={"Accept-Encoding": "identity"},
    )
    timeout = settings.delivery.run_timeout
    channel = PluginChannel(timeout)
    hooks = Hooks(
        settings.gateway.url,
        settings.hook_token,
        session,
        timeout,
        path=settings.gateway.hooks_path,
        certificate=settings.gateway.certificate_file,
    )
    known = bool(database.now(lambda db: inbox.fact(db, _KNOWN_PLUGIN)))
    seen = known or bool(database.now(lambda db: inbox.fact(db, _SEEN_PLUGIN)))
    sender = GatewaySender(
        channel, hooks, settings.delivery.way, plugin_known=known, plugin_seen=seen, agents=lambda: book.agents
    )
    senders: dict[str, Sender] = {
        **dict.fromkeys(TURN_KINDS, sender),
        "webhook": Webhooks(session),
        "subject": Republisher(event_log, connection.publish, identity),
    }
    deliveries = Deliveries(
        database=database,
        book=book,
        flow=flow,
        guard=guard,
        documents=documents,
        renderer=renderer,
        senders=senders,
        meters=meters,
        gate=gate,
    )
    deliveries.load()

    def gateway_is_back() -> None:
        if channel.connected:
            flow.gateway.try_now()
            flow.gateway_changed()
        deliveries.wake()

    channel.on_change = gateway_is_back
    book.on_change = deliveries.wake
    notices = Notices(event_log, flow, meters, settings.gateway_id, book.name_of, identity)
    guard.on_stop = notices.loop_stopped
    pauses.tell = lambda what, data: notices.tell(PAUSE_NOTICES[what], data)
    reads_all = settings.agents.read == "all"
    judge = Judge()
    losses = Losses(
        database=database,
        source=source,
        events=event_log,
        meters=meters,
        gateway_id=settings.gateway_id,
        identity=identity,
        wants=lambda: bool(book.patterns),
        gate=gate,
    )
    space = InboxSpace(database, meters, settings.inbox.max_bytes, settings.inbox.keep)

    forgeries = Forgeries(identity.seals.is_foreign)
    intake = Intake(
        source=source,
        database=database,
        book=book,
        flow=flow,
        guard=guard,
        judge=judge,
        documents=documents,
        meters=meters,
        wake=deliveries.wake,
        sealed_at=identity.seals.sealed_at,
        begin=beginning.ensure,
        tick_owner=lambda message: owner_of_tick(message, settings.gateway_id),
        full=lambda: space.problem,
        may_see=lambda maker, event: reads_all or maker.may_see(settings.gateway_id, event),
        gate=gate,
        losses=losses,
        forgeries=forgeries,
    )
    inbox_service = InboxService(
        database, book, flow, meters, deliveries.wake, StreamContents(event_log, event_of), trail=trail
    )

    approvals = Approvals(
        database,
        book,
        flow,
        event_log,
        identity,
        settings.gateway_id,
        keep=settings.approvals.keep,
        usable=settings.approvals.usable,
        trail=trail,
        forget_after=settings.inbox.keep,
        wake=deliveries.wake,
        answer_prompt=channel.answer_prompt,
    )

    dry_run = DryRun(event_log, renderer, judge, limits)
    replays = Replays(
        log=event_log,
        source=source,
        database=database,
        book=book,
        flow=flow,
        intake=intake,
        judge=trial_judge,
        dry_run=dry_run,
        trail=trail,
        full=lambda: space.problem,
        gate=gate,
    )

    async def note_plugin() -> None:
        if channel.connected and not sender.plugin_seen:
            await database.write(lambda db: inbox.set_fact(db, _SEEN_PLUGIN, "yes"))
            sender.plugin_seen = True
        if channel.connected and channel.can_run and not sender.plugin_known:
            await database.write(lambda db: inbox.set_fact(db, _KNOWN_PLUGIN, "yes"))
            sender.plugin_known = True

    return Inbound(
        settings=settings,
        source=source,
        losses=losses,
        database=database,
        book=book,
        flow=flow,
        intake=intake,
        deliveries=deliveries,
        channel=channel,
        inbox=inbox_service,
        dry_run=dry_run,
        spending=SpendingView(
            event_log,
            prices,
            routes_of=lambda ids: database.read(lambda db: cost_rows.routes_of(db, ids)),
            avoided=lambda since: database.read(lambda db: cost_rows.avoided(db, since)),
        ),
        why=WhyNot(
            log=event_log,
            newest=event_log.newest,
            database=database,
            admission=intake.admission,
            judge=trial_judge,
            flow=flow,
            behind=lambda: intake.problem,
        ),
        notices=notices,
        dead_letters=DeadLetters(database, event_log, identity, settings.gateway_id, gate),
        processes=processes,
        judge=judge,
        trial_judge=trial_judge,
        session=session,
        pauses=pauses,
        costs=costs,
        approvals=approvals,
        replays=replays,
        housekeeping=Housekeeping(
            book=book,
            flow=flow,
            guard=guard,
            space=space,
            takeover=takeover,
            meters=meters,
            note_plugin=note_plugin,
        ),
        health=DeliveriesReport(
            gate=gate,
            database=database,
            book=book,
            flow=flow,
            guard=guard,
            intake=intake,
            deliveries=deliveries,
            channel=channel,
            hooks=hooks,
            sender=sender,
            inbox=inbox_service,
            notices=notices,
            processes=processes,
            losses=losses,
            takeover=takeover,
            space=space,
            pauses=pauses,
            approvals=approvals,
            forgeries=forgeries,
        ),
    )
