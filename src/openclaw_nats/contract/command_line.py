"""What commands print with `--json`. Where a command asks the API, it prints the API's own answer."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType, field

from openclaw_nats.contract import (
    alerts,
    approvals,
    audit,
    deliveries,
    expectations,
    fleet,
    health,
    pauses,
    receiver,
    replays,
    routes,
    runs,
    schedules,
    sources,
    spending,
    verify,
    views,
    why,
)
from openclaw_nats.contract.events import CloudEvent, Published
from openclaw_nats.contract.fields import Answer, Json, Pattern, Time


class CommandError(Answer):
    """Any command that fails: what went wrong, and what to do. The exit code says which kind it is."""

    error: str
    hint: str


class Reindexing(Answer):
    """The index of the stream is being made again."""

    reindexing: bool


class Removed(Answer):
    """The name of what was removed."""

    removed: str


class Cancelled(Answer):
    """The name of the timer that was cancelled."""

    cancelled: str


class ListedJobs(schedules.Jobs):
    """All cron jobs; with `--all` also those of `others`, the other Gateways on this NATS."""

    others: list[schedules.OtherJob] | UnsetType = UNSET


class ListedTimers(schedules.Timers):
    """All timers; with `--all` also those of `others`, the other Gateways on this NATS."""

    others: list[schedules.OtherTimer] | UnsetType = UNSET


class JobDetail(schedules.Job):
    """A job with its newest runs."""

    history: list[schedules.HistoryRun]


class RouteChange(Answer):
    """One change that `routes apply` makes."""

    change: Literal["add", "change", "remove"]
    route: str
    detail: str


class RouteReplayed(Answer):
    """What a replay would do, and the one that has begun; without the first nothing was asked, without the second it
    was a dry run, or there was nothing to replay.
    """

    plan: replays.ReplayPlan | UnsetType = UNSET
    replay: replays.Replay | UnsetType = UNSET


class RouteChanges(Answer):
    """What `routes apply` has done, or would do."""

    changes: list[RouteChange]


class ExportedRoutes(Answer):
    """Routes as `routes apply` takes them."""

    routes: list[routes.RouteDocument]


class Links(Answer):
    """One-time links into the dashboard, the best one first."""

    links: list[str]


class SignedOut(Answer):
    """How many browsers were signed out."""

    signed_out: int


class SettingValue(Answer):
    """A setting: its value, where that comes from, and when a change applies."""

    name: str
    value: Json
    origin: str = field(name="from")
    applies: str


class ListedSetting(Answer):
    """One setting of `config`, under its name."""

    value: Json
    origin: str = field(name="from")
    applies: str


class KeyRotated(Answer):
    """The API key was replaced, in this file. `running`: whether a sidecar runs, which has the new one then."""

    file: str
    running: bool


class ListedKey(Answer):
    """A limited key. Without `expires` it does not end by itself."""

    name: str
    publish: list[Pattern]
    read: list[Pattern]
    made: Time
    expired: bool
    expires: Time | UnsetType = UNSET
    mqtt: bool = False
    topics: list[str] = []


class ListedKeys(Answer):
    """All limited keys, by their names."""

    keys: list[ListedKey]


class MqttUserMade(Answer):
    """How a limited key comes by MQTT: `password` is empty where it was written into `file`."""

    user: str
    password: str
    file: str


class LimitedKeyMade(Answer):
    """A limited key that was made or rotated: `key` is the secret, empty where it was written into `file`. `public` is
    its public half, by which another nats-server may know it. `mqtt` is there for a key that may come by MQTT.
    """

    name: str
    publish: list[Pattern]
    read: list[Pattern]
    made: Time
    key: str
    file: str
    public: str
    expires: Time | UnsetType = UNSET
    topics: list[str] = []
    mqtt: MqttUserMade | UnsetType = UNSET


class AlertChannelMade(Answer):
    """An alert channel that was made: `secret` is what was made here, empty where a file got it or none is wanted."""

    channel: alerts.AlertChannel
    secret: str


class SourceMade(Answer):
    """A source that was made or rotated: `secret` is what was made here, empty where the provider has it or a file got
    it. `route` is that of `--with`.
    """

    source: sources.Source
    secret: str
    route: routes.Route | None = None


class SourceChanged(Answer):
    """One change that `sources apply` makes. `addresses`: of a new source, the second is through the Gateway's port."""

    change: Literal["add", "change"]
    source: str
    detail: str
    addresses: list[str] | UnsetType = UNSET


class SourceChanges(Answer):
    """What `sources apply` has done, or would do."""

    applied: bool
    changes: list[SourceChanged]


class ExpectationChanged(Answer):
    """One change that `expect apply` makes."""

    change: Literal["add", "change"]
    expectation: str
    detail: str


class ExpectationChanges(Answer):
    """What `expect apply` has done, or would do."""

    applied: bool
    changes: list[ExpectationChanged]


class SettingChanged(Answer):
    """A setting was changed. `problems` are sentences: why it is not in effect yet."""

    name: str
    changed: bool
    restarted: bool
    applies: str
    problems: list[str]


class DoctorFinding(Answer):
    """One thing that `doctor` looked at. `fix` says what to do; `fixable`: `doctor --fix` does it."""

    check: str
    state: str
    text: str
    fix: str
    fixable: bool


class DoctorReport(Answer):
    """What `doctor` found. `ok`: there is no problem; `mended`: what `--fix` has repaired."""

    ok: bool
    mended: list[str]
    findings: list[DoctorFinding]


class BackupMade(Answer):
    """Where a backup is, and its size."""

    file: str
    bytes: int


class Restored(Answer):
    """The state directory, where the state before lies (null: there was none), and whether it was started."""

    home: str
    before: str | None
    started: bool


class Stopped(Answer):
    """Whether it ran before."""

    stopped: bool


class Uninstalled(Answer):
    """What was done, a sentence each."""

    done: list[str]


class PlannedStep(Answer):
    """A step of `setup`; `change` is empty when nothing is left to do."""

    step: str
    change: str


class PlanProblem(Answer):
    """Why a step can't be done."""

    step: str
    problem: str
    hint: str


class SetupPlan(Answer):
    """What `setup --dry-run` would do."""

    plan: list[PlannedStep]
    service: str
    notes: list[str]
    problems: list[PlanProblem]


class SetupDone(Answer):
    """The steps that changed something, and how everything is afterwards."""

    changed: list[str]
    status: health.Health


class MigrationItem(Answer):
    """A route, job, timer or delivery of the older plugin, and what becomes of it."""

    kind: str
    name: str
    action: str
    why: str


class Migration(Answer):
    """What `migrate` takes over. `copied` counts events, once it has run."""

    database: str
    services: list[str]
    plugin: bool
    adopts: list[str]
    streams: dict[str, int] | None
    items: list[MigrationItem]
    copied: int | UnsetType = UNSET


class MigrationUndone(Answer):
    """What could not be undone, a sentence each."""

    undone: bool
    left: list[str]


class CompletionScript(Answer):
    """The script that completes commands and names in a shell."""

    shell: str
    script: str


class Status(health.Health, kw_only=True):
    """How everything is, and which state directory that is about."""

    home: str


class LogEntry(Answer):
    """One line of `logs`."""

    log: str
    line: str
    at: str


class UpLine(Answer):
    """One line of `up`, as it happens."""

    time: str
    at: str
    message: str


# A list stands for one object a line (NDJSON), a dict for an object with names that are not known beforehand.
PRINTED: dict[str, object] = {
    "alerts": alerts.Alerts,
    "alerts add": AlertChannelMade,
    "alerts history": alerts.AlertHistory,
    "alerts list": alerts.Alerts,
    "alerts pause": alerts.AlertChannel,
    "alerts remove": Removed,
    "alerts resume": alerts.AlertChannel,
    "alerts show": alerts.AlertChannel,
    "alerts test": alerts.AlertTested,
    "audit": audit.AuditLog,
    "audit verify": audit.AuditState,
    "backup": BackupMade,
    "completion": CompletionScript,
    "config": dict[str, ListedSetting],
    "config get": SettingValue,
    "events reindex": Reindexing,
    "fleet": fleet.Fleet,
    "fleet versions": fleet.FleetVersions,
    "key rotate": KeyRotated,
    "config set": SettingChanged,
    "keys": ListedKeys,
    "keys add": LimitedKeyMade,
    "keys list": ListedKeys,
    "keys revoke": Removed,
    "keys rotate": LimitedKeyMade,
    "cron": ListedJobs,
    "cron add": schedules.Job,
    "cron edit": schedules.Job,
    "cron list": ListedJobs,
    "cron pause": schedules.Job,
    "cron remove": Removed,
    "cron resume": schedules.Job,
    "cron run": schedules.Fired,
    "cron show": JobDetail,
    "cron take": schedules.Job,
    "dashboard": Links,
    "dashboard sessions": views.Sessions,
    "dashboard sign-out": SignedOut,
    "dead": deliveries.Deliveries,
    "dead drop": deliveries.Dropped,
    "dead redrive": deliveries.Redriven,
    "dead show": deliveries.DeliveryDetail,
    "demo": list[CloudEvent],
    "doctor": DoctorReport,
    "events": list[CloudEvent],
    "events show": CloudEvent,
    "expect": expectations.Expectations,
    "expect add": expectations.Expectation,
    "expect apply": ExpectationChanges,
    "expect list": expectations.Expectations,
    "expect pause": expectations.Expectation,
    "expect ready": expectations.ReadyExpectations,
    "expect remove": Removed,
    "expect resume": expectations.Expectation,
    "expect show": expectations.Expectation,
    "expect test": expectations.ExpectationTested,
    "logs": list[LogEntry],
    "migrate": Migration | MigrationUndone,
    "approvals": approvals.Approvals,
    "approvals list": approvals.Approvals,
    "approvals show": approvals.Approval,
    "approvals approve": approvals.Approval,
    "approvals deny": approvals.Approval,
    "pause": pauses.Pauses,
    "pending": deliveries.Deliveries,
    "pending drop": deliveries.Dropped,
    "pending retry": deliveries.Retried,
    "pending show": deliveries.DeliveryDetail,
    "publish": Published,
    "quarantine": sources.Quarantines,
    "quarantine drop": sources.QuarantineDone,
    "quarantine list": sources.Quarantines,
    "quarantine release": sources.QuarantineDone,
    "quarantine show": sources.Quarantined,
    "receive": receiver.ReceiverSources,
    "receipts": deliveries.Receipts,
    "receipts show": deliveries.ReceiptDetail,
    "restart": health.Health,
    "resume": pauses.Pauses,
    "restore": Restored,
    "routes": routes.Routes,
    "routes add": routes.Route,
    "routes apply": RouteChanges,
    "routes disable": routes.Route,
    "routes edit": routes.Route,
    "routes enable": routes.Route,
    "routes export": ExportedRoutes,
    "routes list": routes.Routes,
    "routes remove": Removed,
    "routes replay": RouteReplayed,
    "routes replays": replays.Replays,
    "routes show": routes.Route,
    "routes test": routes.DryRun,
    "routes why": why.Why,
    "usage": spending.Spending,
    "runs": runs.RunPage,
    "setup": SetupPlan | SetupDone,
    "sources": sources.Sources,
    "sources add": SourceMade,
    "sources apply": SourceChanges,
    "sources list": sources.Sources,
    "sources pause": sources.Source,
    "sources remove": Removed,
    "sources resume": sources.Source,
    "sources rotate": SourceMade,
    "sources show": sources.Source,
    "sources test": sources.SourceTested,
    "sources types": sources.SourceKinds,
    "start": health.Health,
    "status": Status,
    "stop": Stopped,
    "tail": list[CloudEvent],
    "timers": ListedTimers,
    "timers cancel": Cancelled,
    "timers list": ListedTimers,
    "timers set": schedules.Timer,
    "timers take": schedules.Timer,
    "uninstall": Uninstalled,
    "up": list[UpLine],
    "verify": verify.Certificate,
}
