"""The agents' tools, put together from what the other parts can do."""

from __future__ import annotations

from collections.abc import Callable

from openclaw_nats.agent_tools.limits import Limits
from openclaw_nats.agent_tools.operator_subjects import OperatorSubjects
from openclaw_nats.agent_tools.publishing import Publishing
from openclaw_nats.agent_tools.scheduling import Scheduling
from openclaw_nats.agent_tools.subscriptions import Subscriptions
from openclaw_nats.agent_tools.toolbox import Toolbox
from openclaw_nats.inbound.route_book import RouteBook
from openclaw_nats.jetstream.connection import Connection
from openclaw_nats.jetstream.event_log import JetStreamEventLog
from openclaw_nats.outbound.ingest import Ingest
from openclaw_nats.service.schedule_parts import Schedules
from openclaw_nats.settings import Settings


def build_toolbox(
    settings: Settings,
    connection: Connection,
    event_log: JetStreamEventLog,
    ingest: Ingest,
    book: RouteBook,
    schedules: Schedules,
    check_pause: Callable[[], None],
) -> Toolbox:
    """Wire the tools."""
    limits = Limits.from_settings(settings)
    limits.scheduled_subjects = OperatorSubjects(schedules.cron, schedules.timers).get
    toolbox = Toolbox(
        limits,
        Publishing(limits, ingest, event_log, connection.ask, settings.gateway_id),
        Subscriptions(limits, book),
        Scheduling(limits, schedules.cron, schedules.timers, settings.schedules.timezone),
    )
    toolbox.check_pause = check_pause
    return toolbox
