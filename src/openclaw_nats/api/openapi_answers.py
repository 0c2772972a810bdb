"""The shapes of what the API answers. The dashboard's types are made of them, and tests hold real answers to them."""

from __future__ import annotations

from typing import Any

from openclaw_nats.dashboard.activity import WINDOWS
from openclaw_nats.dashboard.sidecar_log import LEVELS
from openclaw_nats.inbound.route import KINDS
from openclaw_nats.storage.rows import STATES

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANY: Schema = {}
STATE: Schema = {"type": "string", "enum": list(STATES)}
OPEN_OBJECT: Schema = {"type": "object", "additionalProperties": True}


def record(optional: tuple[str, ...] = (), /, **fields: Schema) -> Schema:
    """An object whose fields are all there, but for the optional ones. A trailing _ is dropped from a name."""
    named = {name.rstrip("_"): schema for name, schema in fields.items()}
    return {"type": "object", "required": [name for name in named if name not in optional], "properties": named}


def many(items: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """It, or null."""
    return {"oneOf": [schema, {"type": "null"}]}


def each(schema: Schema) -> Schema:
    """An object with any names."""
    return {"type": "object", "additionalProperties": schema}


def ref(name: str) -> Schema:
    """One of ANSWERS."""
    return {"$ref": f"#/components/schemas/{name}"}


_UNREADABLE = many(record(name=TEXT, reason=TEXT))
_ROUTE_OPTIONAL = tuple(
    "when filter template payload priority flow retry confirm expiresAfter until targetNote".split()
)
_DELIVERY_OPTIONAL = tuple(
    "way needsGateway routes unanswerable counts waiting sending openBreakers missed inbox notes budgets loopGuard "
    "plugin".split()
)
_PART = {"reachable": FLAG, "lastError": TEXT}
_COUNTS = {state: WHOLE for state in STATES}
_TARGET = record(
    ("sessionKey", "agentId", "url", "secret", "subject"),
    kind={"type": "string", "enum": list(KINDS)},
    sessionKey=TEXT,
    agentId=TEXT,
    url=TEXT,
    secret=TEXT,
    subject=TEXT,
)
_DELIVERY = {
    "id": WHOLE,
    "event": TEXT,
    "route": TEXT,
    "subject": TEXT,
    "session": TEXT,
    "state": STATE,
    "reason": TEXT,
    "until": maybe(TIME),
    "priority": WHOLE,
    "hops": WHOLE,
    "storedAt": maybe(TIME),
    "arrivedAt": maybe(TIME),
    "changedAt": maybe(TIME),
    "dispatch": maybe(TEXT),
}
_RECEIPT = {
    "id": TEXT,
    "route": TEXT,
    "state": TEXT,
    "outcome": TEXT,
    "way": TEXT,
    "runId": TEXT,
    "reply": TEXT,
    "events": WHOLE,
    "attempts": WHOLE,
    "runs": WHOLE,
    "hops": WHOLE,
    "createdAt": maybe(TIME),
    "endedAt": maybe(TIME),
}
_SPOOL = record(events=WHOLE, bytes=WHOLE, oldestSeconds=NUMBER, dropped=WHOLE, rejected=WHOLE)

ANSWERS: dict[str, Schema] = {
    "Health": record(
        ("nats", "identity", "sidecar", "gateway", "plugin", "delivery", "schedules"),
        status={"type": "string", "enum": ["up", "down"]},
        nats=record(
            **_PART,
            since=TIME,
            version=TEXT,
            url=TEXT,
            stream=maybe(record(messages=WHOLE, bytes=WHOLE, first_seq=WHOLE, last_seq=WHOLE)),
            atomicBatches=FLAG,
            notes=many(TEXT),
        ),
        identity=record(
            gatewayId=TEXT, state=TEXT, epoch=WHOLE, lastError=TEXT, holder=maybe(record(host=TEXT, folder=TEXT))
        ),
        sidecar=record(
            **_PART,
            since=TIME,
            version=TEXT,
            eventsLastMinute=WHOLE,
            capture=TEXT,
            disks=many(record(folder=TEXT, freeBytes=WHOLE, low=FLAG, lastError=TEXT)),
        ),
        gateway=record(**_PART, since=TIME, version=TEXT, url=TEXT),
        plugin=record(
            ("gatewayVersion", "conversationAccess", "events", "handlerErrors", "spool"),
            **_PART,
            since=TIME,
            version=TEXT,
            problems=many(TEXT),
            notes=many(TEXT),
            gatewayVersion=TEXT,
            conversationAccess=maybe(FLAG),
            events=WHOLE,
            handlerErrors=WHOLE,
            spool=_SPOOL,
        ),
        delivery=record(
            _DELIVERY_OPTIONAL,
            **_PART,
            since=TIME,
            needsGateway=FLAG,
            way=TEXT,
            routes=WHOLE,
            counts=record(**_COUNTS),
            waiting=WHOLE,
            sending=WHOLE,
            unanswerable=many(record(route=TEXT, problem=TEXT)),
            inbox=record(bytes=WHOLE, maxBytes=WHOLE, lastError=TEXT),
            missed=maybe(record(total=WHOLE, last=WHOLE, lastAt=TIME)),
            notes=many(TEXT),
            openBreakers=many(record(target=TEXT, lastError=TEXT)),
            budgets=many(ref("Budget")),
            loopGuard=record(maxHops=WHOLE, stopped=WHOLE, last=ANY),
            plugin=record(connected=FLAG, canRun=FLAG, canWake=FLAG, wrapping=TEXT),
        ),
        schedules=record(("lag",), available=FLAG, lastError=TEXT, jobs=maybe(WHOLE), timers=maybe(WHOLE), lag=WHOLE),
    ),
    "Budget": record(("routeId",), name=TEXT, limit=WHOLE, used=WHOLE, freeAt=maybe(NUMBER), routeId=WHOLE),
    "Route": record(
        _ROUTE_OPTIONAL,
        name=TEXT,
        pattern=TEXT,
        target=ANY,
        when=TEXT,
        filter=OPEN_OBJECT,
        template=TEXT,
        payload=OPEN_OBJECT,
        priority=WHOLE,
        flow=OPEN_OBJECT,
        retry=OPEN_OBJECT,
        confirm=TEXT,
        expiresAfter=TEXT,
        until=TIME,
        enabled=FLAG,
        trusted=FLAG,
        conditions=many(TEXT),
        resolvedTarget=_TARGET,
        targetNote=TEXT,
        madeBy=TEXT,
        createdAt=TIME,
        updatedAt=TIME,
        waitingSince=maybe(TIME),
        counts=record(matched=WHOLE, absorbed=WHOLE, turns=WHOLE, turnsAvoided=WHOLE, **_COUNTS),
    ),
    "Routes": record(("unreadable",), routes=many(ref("Route")), unreadable=_UNREADABLE),
    "DryRun": record(
        route=TEXT,
        target=OPEN_OBJECT,
        events=WHOLE,
        matched=WHOLE,
        turns=WHOLE,
        avoided=WHOLE,
        firstTurns=many(record(at=TIME, events=many(TEXT), text=TEXT)),
        judged=many(record(id=TEXT, subject=TEXT, matched=FLAG, reason=TEXT)),
        assumes=TEXT,
    ),
    "Delivery": record(**_DELIVERY),
    "DeliveryDetail": record(**_DELIVERY, document=ANY, history=many(ref("Change")), text=maybe(TEXT), attempts=WHOLE),
    "Change": record(at=maybe(TIME), state=STATE, reason=TEXT),
    "Deliveries": record(deliveries=many(ref("Delivery")), cursor=maybe(TEXT), total=WHOLE),
    "Receipt": record(**_RECEIPT),
    "ReceiptDetail": record(
        **_RECEIPT,
        text=TEXT,
        deliveries=many(record(delivery=WHOLE, event=TEXT, subject=TEXT)),
        history=many(ref("Change")),
    ),
    "Receipts": record(receipts=many(ref("Receipt")), cursor=maybe(TEXT)),
    "Fire": record(outcome=TEXT, scheduledFor=TIME, at=TIME, manual=FLAG, event=maybe(TEXT)),
    "Job": record(
        name=TEXT,
        cron=TEXT,
        timezone=TEXT,
        subject=TEXT,
        payload=ANY,
        priority=maybe(WHOLE),
        enabled=FLAG,
        missed=TEXT,
        nextRuns=many(TIME),
        lastRun=maybe(ref("Fire")),
        madeBy=TEXT,
        madeIn=TEXT,
        createdAt=TIME,
        updatedAt=TIME,
    ),
    "Jobs": record(("unreadable",), jobs=many(ref("Job")), unreadable=_UNREADABLE),
    "History": record(
        runs=many(
            {
                "allOf": [
                    ref("Fire"),
                    record(deliveries=many(record(id=WHOLE, route=TEXT, state=STATE))),
                ]
            }
        )
    ),
    "Timer": record(
        name=TEXT, at=TIME, subject=TEXT, payload=ANY, priority=maybe(WHOLE), madeBy=TEXT, madeIn=TEXT, createdAt=TIME
    ),
    "Timers": record(("unreadable",), timers=many(ref("Timer")), unreadable=_UNREADABLE),
    "Trouble": record(field=TEXT, message=TEXT, hint=TEXT),
    "RouteCheck": record(problems=many(ref("Trouble"))),
    "CronCheck": record(problems=many(ref("Trouble")), nextRuns=many(TIME), timezone=ANY),
    "LiveEvent": record(sequence=WHOLE, storedAt=TIME, bytes=WHOLE, whole=FLAG, event=OPEN_OBJECT),
    "LiveState": record(health=ref("Health"), eventsPerSecond=maybe(NUMBER)),
    "Recent": record(events=many(ref("LiveEvent")), state=ref("LiveState")),
    "Activity": record(
        window={"type": "string", "enum": list(WINDOWS)},
        step=WHOLE,
        begin=TIME,
        eventsPerSecond=many(maybe(NUMBER)),
        turnsPerHour=many(WHOLE),
    ),
    "Run": record(
        events=many(ref("LiveEvent")),
        complete=FLAG,
        deliveries=each(many(record(id=WHOLE, route=TEXT, state=STATE))),
    ),
    "Usage": record(
        seconds=NUMBER,
        calls=WHOLE,
        complete=FLAG,
        rows=many(
            record(
                agent=TEXT,
                gateway=TEXT,
                provider=TEXT,
                model=TEXT,
                calls=WHOLE,
                input=NUMBER,
                output=NUMBER,
                cacheRead=NUMBER,
                cacheWrite=NUMBER,
                cost=NUMBER,
            )
        ),
    ),
    "Subjects": record(
        subjects=many(
            record(subject=TEXT, stored=WHOLE, lastHour=WHOLE, newest=maybe(TIME), deliveries=record(**_COUNTS))
        ),
        complete=FLAG,
    ),
    "DeliveryLog": record(
        lines=many(
            record(
                number=WHOLE,
                at=TIME,
                state=STATE,
                reason=TEXT,
                delivery=WHOLE,
                route=TEXT,
                subject=TEXT,
                event=TEXT,
                dispatch=maybe(TEXT),
            )
        ),
        cursor=maybe(TEXT),
    ),
    "FireLog": record(
        lines=many(
            record(
                kind={"type": "string", "enum": ["cron", "timer"]},
                name=TEXT,
                outcome=TEXT,
                manual=FLAG,
                at=TIME,
                subject=TEXT,
                event=maybe(TEXT),
            )
        )
    ),
    "SidecarLog": record(
        lines=many(record(at=TEXT, level=TEXT, what=TEXT, details=OPEN_OBJECT)),
    ),
    "SettingsView": record(
        settings=many(record(name=TEXT, value=ANY, from_=TEXT, variable=TEXT, applies=TEXT, help=TEXT)),
        versions=each(TEXT),
        home=TEXT,
    ),
    "Session": record(id=TEXT, browser=TEXT, madeAt=TIME, seenAt=TIME, endsAt=TIME, current=FLAG),
    "Sessions": record(sessions=many(ref("Session"))),
    "SignInLinks": record(links=many(TEXT), seconds=NUMBER),
    "Probe": record(probe=TEXT),
    "Retried": record(retried=WHOLE),
    "Dropped": record(dropped=WHOLE),
    "Redriven": record(redriven=WHOLE),
    "Fired": record(id=TEXT, firedAt=TIME),
}
LOG_LEVELS = list(LEVELS)
