"""Cron jobs and timers: as they are given, and as they are shown."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from openclaw_nats.contract.deliveries import DeliveryRef
from openclaw_nats.contract.fields import Answer, Instruction, Json, Name, Priority, Time, Unreadable
from openclaw_nats.contract.problems import Trouble
from openclaw_nats.contract.routes import AgentTarget, Session, SessionTarget, WakeTarget

DEFAULT_MISSED = "run_once"
CronText = Annotated[str, Meta(description="Five cron fields, or @daily and its like", examples=["30 8 * * MON-FRI"])]
Zone = Annotated[str, Meta(description="An IANA time zone", examples=["Europe/Berlin"])]
MissedText = Annotated[str, Meta(description="What to do with missed runs: skip, run_once or within:<duration>")]


# Whom a job or timer wakes: an agent or a session, as routes name it.
Wake = SessionTarget | AgentTarget | WakeTarget | Session


class JobDocument(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A cron job as it is given. `subject` is by default `agent.events.cron.<name>`, `timezone` the sidecar's.

    With `wake` each run is a turn there, with `instruction` as what is to be done; without it needs a route.
    """

    name: Name
    cron: CronText
    timezone: Zone | None = None
    subject: str | None = None
    payload: Json = None
    priority: Priority | None = None
    enabled: bool = True
    missed: MissedText = DEFAULT_MISSED
    wake: Wake | None = None
    instruction: Instruction = ""


class TimerDocument(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A timer as it is given: with one of `delay` (a duration), `delayMs` (milliseconds) and `at` (RFC 3339).

    `subject` is by default `agent.events.timer.<name>`. `wake` and `instruction` are as in a cron job.
    """

    name: Name
    # What is no duration, number or time is refused with the nearest right form, when it is worked out.
    delay: Annotated[object, Meta(extra_json_schema={"type": "string", "examples": ["5m"]})] = None
    delay_ms: Annotated[object, Meta(extra_json_schema={"type": "number", "minimum": 0})] = None
    at: Annotated[object, Meta(extra_json_schema={"type": "string", "format": "date-time"})] = None
    subject: str | None = None
    payload: Json = None
    priority: Priority | None = None
    wake: Wake | None = None
    instruction: Instruction = ""


class Fire(Answer):
    """One run of a job: fired or skipped. `event` is the id of the event that it made."""

    outcome: str
    scheduled_for: Time
    at: Time
    manual: bool
    event: str | None


class Job(Answer):
    """A cron job. `nextRuns` is empty for one that is paused. `madeBy` is empty for the operator's own."""

    name: str
    cron: str
    timezone: str
    subject: str
    payload: Json
    priority: int | None
    enabled: bool
    missed: str
    wake: Wake | None
    instruction: str
    next_runs: list[Time]
    last_run: Fire | None
    made_by: str
    made_in: str
    created_at: Time
    updated_at: Time


class Jobs(Answer):
    """All cron jobs of this Gateway."""

    jobs: list[Job]
    unreadable: list[Unreadable] | UnsetType = UNSET


class HistoryRun(Fire):
    """A run with what became of its event."""

    deliveries: list[DeliveryRef]


class History(Answer):
    """The newest runs of a job, newest first."""

    runs: list[HistoryRun]


class Fired(Answer):
    """A job was fired now: the id of its event."""

    id: str
    fired_at: Time


class Timer(Answer):
    """A timer that has not fired. `madeBy` is empty for the operator's own."""

    name: str
    at: Time
    subject: str
    payload: Json
    priority: int | None
    wake: Wake | None
    instruction: str
    made_by: str
    made_in: str
    created_at: Time


class Timers(Answer):
    """All timers of this Gateway that have not fired."""

    timers: list[Timer]
    unreadable: list[Unreadable] | UnsetType = UNSET


class OtherJob(Answer):
    """A cron job of another Gateway on this NATS; its payload is not shown."""

    gateway: str
    name: str
    cron: str
    timezone: str
    subject: str
    enabled: bool
    next_runs: list[Time]
    made_by: str


class OtherTimer(Answer):
    """A timer of another Gateway on this NATS; its payload is not shown."""

    gateway: str
    name: str
    at: Time
    subject: str
    made_by: str


class OtherSchedules(Answer):
    """What other Gateways on this NATS have."""

    jobs: list[OtherJob]
    timers: list[OtherTimer]


class TakeOver(Struct, forbid_unknown_fields=True):
    """Which job or timer of a Gateway that is gone becomes this Gateway's; `from` is the gateway.id of that one."""

    kind: Literal["cron", "timer"]
    name: Name
    gateway: str = field(name="from")


class CronCheck(Answer):
    """What is wrong with a cron job that is not saved, and when it would run."""

    problems: list[Trouble]
    next_runs: list[Time]
    timezone: Json
