"""Ready-made rules, on the subjects of the plugin (plugin/subject-list.js) and of the bus."""

from __future__ import annotations

from openclaw_nats.contract.expectations import ExpectationDocument, ReadyExpectation
from openclaw_nats.events.subjects import RUN_ENDED

OF = "OF"


def _ready(name: str, about: str, needs: str = "", **fields: object) -> ReadyExpectation:
    rule = ExpectationDocument(name=name, **fields)  # type: ignore[arg-type]
    return ReadyExpectation(name=name, about=about, needs=needs, rule=rule)


READY = (
    _ready(
        "run-ended",
        "a run called its model, and did not end within an hour",
        after="agent.events.model.call.*",
        by=RUN_ENDED,
        key="event.runid",
        within="1h",
        lookback="10m",
    ),
    _ready(
        "subagent-result",
        "a subagent was started, and its result was not handed over to its parent within an hour",
        after="agent.events.subagent.spawned",
        by="agent.events.subagent.ended",
        key="data.childSessionKey",
        within="1h",
        lookback="1m",
    ),
    _ready(
        "job-ran",
        "a cron job of the bus did not fire for a day (change `every` to how often it does)",
        "the job's name",
        by="agent.events.cron.OF",
        every="1d",
        grace="1h",
    ),
    _ready(
        "backup-came",
        "no event said for a day that a backup is done",
        "the subject on which your backup says so, such as custom.backup.done",
        by="agent.events.OF",
        every="1d",
        grace="2h",
    ),
    _ready(
        "message-answered",
        "a message came in, and nothing was sent in its session within ten minutes",
        after="agent.events.message.received",
        by="agent.events.message.sent",
        key="event.sessionkey",
        within="10m",
    ),
    _ready(
        "gateway-heard",
        "no event of any run came for a day",
        by=RUN_ENDED,
        every="1d",
        spools=False,
    ),
)
