"""The sidecar process: everything is put together here, once, in the order in which an event flows.

Stop order: the HTTP server first (requests under way get their answer), then the tasks (publisher, intake, deliveries,
connection), then the database, which the tasks write to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from functools import partial

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.middleware import Middleware

from openclaw_nats import __version__
from openclaw_nats.addresses import is_loopback
from openclaw_nats.api import openapi
from openclaw_nats.api.alert_endpoints import AlertEndpoints
from openclaw_nats.api.app import Endpoints, build_app
from openclaw_nats.api.approval_endpoints import ApprovalEndpoints
from openclaw_nats.api.audit_endpoints import AuditEndpoints
from openclaw_nats.api.auth import Authority
from openclaw_nats.api.channel_endpoints import ChannelEndpoints
from openclaw_nats.api.check_endpoints import CheckEndpoints
from openclaw_nats.api.compat import Compat, OnlyThere
from openclaw_nats.api.dashboard_gate import DashboardGate
from openclaw_nats.api.delivery_endpoints import DeliveryEndpoints
from openclaw_nats.api.endless import end_all
from openclaw_nats.api.expectation_endpoints import ExpectationEndpoints
from openclaw_nats.api.fleet_endpoints import FleetEndpoints
from openclaw_nats.api.front_door import FrontDoor
from openclaw_nats.api.handover_endpoints import HandoverEndpoints
from openclaw_nats.api.history_endpoints import HistoryEndpoints
from openclaw_nats.api.http_protocol import end_proven
from openclaw_nats.api.ingest_endpoints import IngestEndpoints
from openclaw_nats.api.operation_endpoints import OperationEndpoints
from openclaw_nats.api.pause_endpoints import PauseEndpoints
from openclaw_nats.api.problems import status_of
from openclaw_nats.api.replay_endpoints import ReplayEndpoints
from openclaw_nats.api.route_endpoints import RouteEndpoints
from openclaw_nats.api.schedule_endpoints import CronEndpoints, TimerEndpoints
from openclaw_nats.api.source_endpoints import SourceEndpoints
from openclaw_nats.api.tool_endpoints import ToolEndpoints
from openclaw_nats.api.verify_endpoints import VerifyEndpoints
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.events.identity import Identity
from openclaw_nats.fleet.keys import OtherKeys
from openclaw_nats.fleet.lease import Lease
from openclaw_nats.fleet.place import place_of
from openclaw_nats.gateway.probe import GatewayProbe
from openclaw_nats.health import disks
from openclaw_nats.health.hook_watch import HookWatch
from openclaw_nats.health.report import Health
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.jetstream.events_view import EventsView
from openclaw_nats.jetstream.key_door import KeyDoor
from openclaw_nats.jetstream.lease_store import JetStreamLeaseStore
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.quarantine_store import JetStreamQuarantine
from openclaw_nats.jetstream.schedule_log import JetStreamScheduleLog
from openclaw_nats.jetstream.stream_settings import limits
from openclaw_nats.jetstream.streams import Streams
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.locations import Locations
from openclaw_nats.outbound.filters import SubjectFilter
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.outbound.meters import IngestMeters, SpoolMeters
from openclaw_nats.outbound.plugin_reports import PluginReports
from openclaw_nats.outbound.publisher import GroupCommitPublisher
from openclaw_nats.outbound.redaction import Redactor
from openclaw_nats.outbound.redaction_process import RedactionProcess
from openclaw_nats.service import logs
from openclaw_nats.service.alert_parts import build_alerts
from openclaw_nats.service.api_key_file import ApiKeyFile, KeyChange, end_sessions_of_another_key
from openclaw_nats.service.audit_files import audit_trail
from openclaw_nats.service.beginning import Beginning
from openclaw_nats.service.certificate_parts import build_certificates
from openclaw_nats.service.dashboard_parts import build_dashboard
from openclaw_nats.service.expectation_parts import build_expectations
from openclaw_nats.service.exposure import check_exposed
from openclaw_nats.service.files import write_no_core_files, write_private
from openclaw_nats.service.fleet_parts import build_fleet
from openclaw_nats.service.history_parts import build_history
from openclaw_nats.service.http_server import HttpServer, listen
from openclaw_nats.service.identity_key import identity_key
from openclaw_nats.service.inbound_parts import build_inbound
from openclaw_nats.service.local_socket import LocalSocket
from openclaw_nats.service.mqtt_parts import build_mqtt
from openclaw_nats.service.receiver_link import ReceiverDoor
from openclaw_nats.service.running import Sidecar, Work
from openclaw_nats.service.schedule_parts import build_schedules
from openclaw_nats.service.stream_keeper import StreamKeeper
from openclaw_nats.service.tls import Certificate
from openclaw_nats.service.tool_parts import build_toolbox
from openclaw_nats.settings import Settings, load
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.door import Door
from openclaw_nats.sources.log import DoorLog, DoorMeters
from openclaw_nats.sources.quarantine import Quarantine
from openclaw_nats.storage import inbox
from openclaw_nats.storage.database import Database
from openclaw_nats.telemetry.exporter import SpanExporter, otlp
from openclaw_nats.watchers.outbox import Outbox
from openclaw_nats.watchers.supervisor import Watchers, WatchMeters

log = structlog.get_logger(__name__)

_REPORT_SECONDS = 3.0
_GRACE_SECONDS = 3


async def build(settings: Settings) -> Sidecar:
    """Wire the sidecar; raise SettingsError when something needed (the API key, say) is missing."""
    certificate = Certificate.of(settings)
    api_key = settings.api_key()
    secret = identity_key(settings.home)
    identity = Identity(secret)
    database = Database(settings.home / "sidecar.db")
    trail = audit_trail(settings, database)
    end_sessions_of_another_key(database, trail, secret, api_key)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    meters = IngestMeters(registry)
    reports = PluginReports(SpoolMeters(registry))
    connection = Connection(Options.from_settings(settings))
    connection.seals = identity.seals
    streams = Streams(connection, settings)
    identity.seals.keep, identity.seals.clock = settings.inbox.keep, streams.clock.now
    connection.on_connect = streams.ensure
    event_log = JetStreamEventLog(connection, streams)
    gateway_id = settings.gateway_id
    lease_store, key = JetStreamLeaseStore(connection, streams, gateway_id), identity.seals.fingerprint
    place = place_of(settings.home)
    lease = Lease(lease_store, gateway_id, place, key=key)
    other_keys = OtherKeys(gateway_id, key, lease_store.every)
    meters.nats_up.set_function(lambda: float(connection.ready and not (event_log.problem or lease.write_error)))
    meters.lease_held.set_function(lambda: float(lease.allowed))
    meters.clock_offset.set_function(lambda: streams.clock.offset)
    publisher = GroupCommitPublisher(event_log, meters.group_size.observe)
    redaction = RedactionProcess(Redactor(patterns=settings.redaction.patterns, keys=settings.redaction.keys))
    ingest = Ingest(
        publisher=publisher,
        log=event_log,
        subject_filter=SubjectFilter(settings.filter.allow, settings.filter.block),
        redactor=redaction if settings.redaction.enabled else None,
        meters=meters,
        gateway_id=settings.gateway_id,
        duplicate_window=limits(settings)["duplicate_window"] / 1e9,
        identity=identity,
        plain_until=float(database.now(lambda db: inbox.fact(db, inbox.PLAIN_IDS_UNTIL)) or 0),
    )
    disks.DiskMeters(registry).watch(settings)
    inbound = build_inbound(
        settings,
        database,
        identity,
        connection,
        event_log,
        registry,
        lease,
        lambda: streams.clock.correction,
        Beginning(database, identity.seals, JetStreamScheduleLog(connection, streams), streams.clock, gateway_id),
        trail,
    )

    async def ask_gateway() -> bool:
        return inbound.channel.ask_report() and await reports.following(_REPORT_SECONDS)

    inbound.book.ask_gateway = ask_gateway
    ingest.on_outputs = inbound.costs.take
    ingest.on_calls = inbound.approvals.take
    if settings.redaction.enabled:
        inbound.approvals.redact = redaction.redact
    sources = SourceBook(Locations(settings.home).sources, write_private, trail)
    schedules = build_schedules(
        settings, connection, streams, ingest, identity, lease, inbound.book, trail, database, event_log
    )
    expectations = build_expectations(
        settings,
        connection,
        streams,
        event_log,
        identity,
        lease,
        schedules.log,
        inbound.source.standing,
        lease_store.every,
        trail,
        database,
    )
    hooks = HookWatch(database, event_log, identity, gateway_id)
    expectations.heed(hooks.problems)
    reports.followers = [*expectations.followers, hooks.receive]
    lease.uploaded = lambda: expectations.watermark.uploaded
    gateway = GatewayProbe(settings.gateway.url)
    health = Health(
        settings=settings,
        connection=connection,
        streams=streams,
        event_log=event_log,
        lease=lease,
        gateway=gateway,
        reports=reports,
        meters=meters,
        plugin_connected=lambda: inbound.channel.connected,
        inbound=inbound.health.report,
        schedules=schedules.health.report,
    )
    fleet = build_fleet(settings, connection, identity.seals, lease_store.every, place, health.report, reports)
    dashboard = build_dashboard(
        settings=settings,
        connection=connection,
        streams=streams,
        event_log=event_log,
        reports=reports,
        inbound=inbound,
        schedules=schedules,
        health=health.report,
        gateway_is_up=health.gateway_is_up,
        trail=trail,
    )
    history = build_history(settings, inbound, event_log, trail)
    health.stopped_hooks = hooks.problems
    health.last_minute = dashboard.activity.last_minute
    limited_keys = KnownKeys(settings.home, tell=lambda why: log.error("limited_keys.unreadable", error=why))
    key_doors: dict[str, KeyDoor] = {}
    # At a nats-server that is not ours anybody may be allowed to publish where a key would.
    if settings.nats.managed and Locations(settings.home).own_nats_config is not None:
        key_doors["key-door"] = KeyDoor(Options.from_settings(settings), limited_keys, ingest.take, status_of)
    receiver = ReceiverDoor(settings, limited_keys, ingest.take, status_of)
    if receiver.door is not None:
        key_doors["receiver-door"] = receiver.door
    mqtt = build_mqtt(settings, connection, inbound, secret)
    health.expectations = lambda: expectations.book.health(expectations.watch.last_error)
    health.mqtt = mqtt.report.report if mqtt is not None else None
    door_log = DoorLog(DoorMeters(registry))
    held = JetStreamQuarantine(connection, streams, settings.stream.replicas)
    quarantine = Quarantine(held, sources, ingest, trail)
    health.quarantined = quarantine.waiting
    door = Door(sources, door_log, ingest, database, quarantine)
    outbox = Outbox(ingest, database, door_log)
    watchers = Watchers(sources, outbox, settings.home, settings.schedules.timezone, WatchMeters(registry))
    alerts = build_alerts(settings, database, trail, health.report, lease_store.every, key)
    inbound.health.more_notes = lambda: (
        other_keys.note,
        inbound.costs.note,
        sources.problem,
        receiver.note,
        history.history.note,
        *watchers.notes(),
        *alerts.notes(),
    )
    certificates = build_certificates(settings.home, database, EventsView(connection, streams), reports.waiting)
    endpoints = Endpoints(
        ingest=IngestEndpoints(ingest, meters, inbound.book.names_for),
        history=HistoryEndpoints(event_log, limited_keys.lasts),
        operations=OperationEndpoints(
            health=health.report,
            registry=registry,
            reports=reports,
            openapi=openapi.document(),
            on_agents=inbound.book.follow_gateway,
        ),
        routes=RouteEndpoints(
            inbound.book,
            inbound.inbox,
            inbound.dry_run,
            inbound.why,
            inbound.spending,
            compat=settings.compat,
            paused=inbound.pauses.of_route,
        ),
        replays=ReplayEndpoints(inbound.replays, inbound.spending),
        deliveries=DeliveryEndpoints(inbound.inbox),
        channel=ChannelEndpoints(inbound.channel),
        cron=CronEndpoints(schedules.cron, inbound.inbox),
        timers=TimerEndpoints(schedules.timers),
        handover=HandoverEndpoints(schedules.handover),
        tools=ToolEndpoints(
            build_toolbox(settings, connection, event_log, ingest, inbound.book, schedules, inbound.pauses.check_tools)
        ),
        pauses=PauseEndpoints(
            inbound.pauses, sending=lambda: inbound.deliveries.sending, expiring=inbound.book.expiring
        ),
        approvals=ApprovalEndpoints(inbound.approvals),
        checks=CheckEndpoints(settings.schedules.timezone, lambda: inbound.book.agents, inbound.book.document),
        insight=dashboard.insight,
        live=dashboard.live,
        dashboard=dashboard.endpoints,
        audit=AuditEndpoints(trail),
        alerts=AlertEndpoints(alerts),
        expectations=ExpectationEndpoints(
            expectations.book,
            event_log,
            identity,
            gateway_id,
            lambda: expectations.watch.last_error,
            inbound.book.names_for,
        ),
        sources=SourceEndpoints(sources, door, door_log, quarantine, watchers, inbound.book.names_for),
        fleet=FleetEndpoints(fleet.members),
        verify=VerifyEndpoints(certificates),
        search=history.endpoints,
        runs=history.run_endpoints,
    )
    front_door = Middleware(FrontDoor, door=door, book=sources, door_log=door_log)
    gate = Middleware(DashboardGate, sign_in=dashboard.sign_in, cookie=dashboard.cookie, pages=dashboard.files)
    only_there = OnlyThere(
        routes=inbound.book, inbox=inbound.inbox, cron=schedules.cron, timers=schedules.timers, views=dashboard.views
    )
    compat = [Middleware(Compat, only_there=only_there)] if settings.compat else []
    spans = None
    if settings.otel.endpoint:
        send = otlp(settings.otel.endpoint, settings.gateway_id)
        spans = SpanExporter(event_log, inbound.database, settings.gateway_id, streams.last_sequence, send)
    key_file = ApiKeyFile(settings.api_key_file, api_key, fixed=settings.api_key_is_given)
    authority = Authority(api_key, key_file.look, limited_keys)
    app = build_app(authority=authority, endpoints=endpoints, front=[front_door, gate], compat=compat, meters=meters)
    app.front_door = FrontDoor(app.app, door=door, book=sources, door_log=door_log)
    key_file.on_change = KeyChange(database, trail, secret, authority, dashboard.sign_in, lambda: end_all(app.app))
    runs: dict[str, Work] = {
        "nats": connection.run,
        "lease": lease.run,
        "api-key": key_file.run,
        "other-keys": other_keys.run,
        "publisher": publisher.run,
        "gateway-probe": gateway.run,
        "streams": StreamKeeper(connection, streams, event_log).run,
        "front-door": door.run,
        "watchers": watchers.run,
        "fleet": fleet.service.run,
        "certificates": certificates.run,
        "hooks": hooks.run,
        **alerts.runs(),
        **inbound.runs(),
        **schedules.runs(),
        **expectations.runs(),
        **dashboard.runs(),
        **history.runs(),
        **({"spans": spans.run} if spans is not None else {}),
        **{name: one.run for name, one in key_doors.items()},
        **(mqtt.runs() if mqtt is not None else {}),
        **({"certificate": certificate.run} if certificate is not None else {}),
    }
    closes: list[Work] = [
        *(one.close for one in key_doors.values()),
        fleet.service.close,
        connection.close,
        history.close,
        expectations.close,
        inbound.close,
        redaction.close,
    ]
    return Sidecar(app, lease, authority, certificate, runs, closes, health.task_errors)


async def serve(settings: Settings) -> None:
    """Run the sidecar until SIGTERM or SIGINT."""
    host = settings.sidecar.host
    check_exposed(settings)
    listeners = listen(host, settings.sidecar.port)  # first: who has the port has the database
    sidecar = await build(settings)
    write_private(settings.home / "plugin.json", json.dumps(settings.for_plugin(), indent=2) + "\n")
    if not is_loopback(host):
        log.warning("sidecar.listens_beyond_loopback", host=host, tls=sidecar.certificate is not None)
    tasks = asyncio.create_task(sidecar.run_tasks(), name="sidecar-tasks")
    log.info("sidecar.started", version=__version__, host=host, port=settings.sidecar.port)
    try:
        local = LocalSocket(Locations(settings.home).socket)
        tls = sidecar.certificate.context if sidecar.certificate is not None else None
        most = settings.sidecar.max_connections
        ending = partial(end_all, sidecar.app.app)
        server = HttpServer(sidecar.app, listeners, local, tls, max_connections=most, grace=_GRACE_SECONDS, end=ending)
        sidecar.authority.end_proven = lambda: end_proven(server.server_state.connections)
        await server.serve(sockets=[])
    finally:
        await sidecar.lease.end()
        tasks.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tasks
        log.info("sidecar.stopped")


def main() -> None:
    """Entry point of the process; prints a one-line error and exits 1 when it can't start."""
    write_no_core_files()
    try:
        settings = load()
        logs.configure(settings.log.level, settings.home / "logs" / "sidecar.log")
        import uvloop

        uvloop.run(serve(settings))
    except OpenClawNatsError as error:
        print(f"Error: {error}" + (f"\nTry: {error.hint}" if error.hint else ""), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
