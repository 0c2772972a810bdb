"""The rules that there are: made, changed, removed, and shown with how they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from openclaw_nats.audit.act import Act
from openclaw_nats.audit.trail import Trail
from openclaw_nats.contract import expectations as shapes
from openclaw_nats.contract.expectations import ExpectationDocument
from openclaw_nats.contract.health import ExpectationsHealth
from openclaw_nats.errors import Conflict, InvalidInput, NotFound, OpenClawNatsError
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.expectations.episodes import begin_period
from openclaw_nats.expectations.rule import Index, Rule, compile_rule
from openclaw_nats.expectations.times import Times
from openclaw_nats.expectations.usual import ABOUT
from openclaw_nats.storage import expectations as rows
from openclaw_nats.storage.database import Connection, Database
from openclaw_nats.storage.expectations import EpisodeRow, RuleRow

log = structlog.get_logger(__name__)

MAX_RULES = 1000
SHOWN_EPISODES = 100
MOST_MISSED_SHOWN = 100


class ExpectationBook:
    """One Gateway's rules. `last` asks for the stream's last sequence; `behind` whose spools an episode waits for."""

    def __init__(
        self,
        database: Database,
        trail: Trail,
        last: Callable[[], Awaitable[int]],
        times: Times,
        timezone: str = "UTC",
    ) -> None:
        self._database = database
        self._trail = trail
        self._last = last
        self._times = times
        self._timezone = timezone
        self._lock = asyncio.Lock()
        self.behind: Callable[[Rule, EpisodeRow], list[str]] = lambda rule, one: []
        self.built_in: Callable[[Connection], list[shapes.WatchdogRule]] = lambda db: []
        self.changed = asyncio.Event()
        self.rules: dict[int, Rule] = {}
        self.index = Index([])
        self._use(database.now(rows.rules))

    async def load(self) -> None:
        """Read the rules once more."""
        self._use(await self._database.read(rows.rules))

    def _use(self, found: list[RuleRow]) -> None:
        self.rules = {}
        for row in found:
            try:
                document = msgspec.json.decode(row.document, type=ExpectationDocument)
                self.rules[row.id] = compile_rule(document, row.id, row.after_sequence, self._timezone)
            except (msgspec.MsgspecError, OpenClawNatsError) as error:  # another version's
                log.error("expectation.unreadable", expectation=row.name, error=str(error))
        self.index = Index(list(self.rules.values()))
        self.changed.set()

    def _named(self, name: str) -> Rule:
        found = next((one for one in self.rules.values() if one.name == name), None)
        if found is None:
            hint = "`openclaw-nats expect list` shows all of them."
            raise NotFound(f"there is no expectation {name[:80]!r}", hint=hint)
        return found

    async def add(self, document: ExpectationDocument) -> shapes.Expectation:
        """Make a rule, from now on; raise Conflict when there is one of the name."""
        compile_rule(document, timezone=self._timezone)
        if document.name in ABOUT:
            raise Conflict(f"{document.name} is built in", hint="Take another name.")
        async with self._lock:
            if any(one.name == document.name for one in self.rules.values()):
                hint = "`openclaw-nats expect remove` removes it; `expect apply` changes what differs."
                raise Conflict(f"there is an expectation {document.name!r} already", hint=hint)
            if len(self.rules) >= MAX_RULES:
                raise InvalidInput(f"there are {MAX_RULES} expectations already")
            await self._put(document, Act("expect.add", document.name, None, _said(document)))
        return await self.shown(document.name)

    async def change(self, name: str, changes: dict[str, object]) -> shapes.Expectation:
        """Change fields of a rule, which begins again with that; null resets one to its default."""
        async with self._lock:
            old = self._named(name).document
            merged = {**msgspec.to_builtins(old), **changes}
            merged = {key: value for key, value in merged.items() if value is not None}
            try:
                document = msgspec.convert(merged, ExpectationDocument)
            except msgspec.ValidationError as error:
                raise InvalidInput(f"the change is not valid: {error}") from None
            if document.name != name:
                raise InvalidInput("the name of an expectation can't be changed", field="name")
            compile_rule(document, timezone=self._timezone)
            if document != old:
                await self._put(document, Act("expect.change", name, _said(old), _said(document)))
        return await self.shown(name)

    async def remove(self, name: str) -> None:
        """Remove a rule with all that it waits for."""
        if name in ABOUT:
            hint = "`openclaw-nats config set watchdog.enabled false` switches off what is built in."
            raise Conflict(f"{name} is built in and can't be removed", hint=hint)
        async with self._lock:
            old = self._named(name).document
            await self._trail.write(lambda db: rows.remove_rule(db, name), Act("expect.remove", name, _said(old)))
            await self.load()

    async def _put(self, document: ExpectationDocument, act: Act) -> None:
        last, now = await self._last(), self._times.now()
        text = msgspec.json.encode(document).decode()

        def job(db: Connection) -> None:
            number = rows.put_rule(db, document.name, text, now, last)
            rule = compile_rule(document, number, last, self._timezone)
            if rule.periodic and not document.paused:
                begin_period(db, rule, now, self._times)

        await self._trail.write(job, act)
        await self.load()

    async def tested(self, name: str) -> ExpectationDocument:
        """A rule whose notice is tried out, which is written down."""
        document = self._named(name).document
        async with self._trail.around(Act("expect.test", name)):
            return document

    async def every(self) -> list[shapes.Expectation]:
        """All rules, by name."""

        def job(db: Connection) -> tuple[list[RuleRow], dict[tuple[int, str], int], list[EpisodeRow]]:
            return rows.rules(db), rows.counts(db), rows.in_state(db, "unknown", 1000)

        found, counts, unknown = await self._database.read(job)
        return [self._shown(row, counts, unknown) for row in found if row.id in self.rules]

    async def health(self, last_error: str) -> ExpectationsHealth:
        """The part of `/api/health` about them; `last_error` is why they are not judged, if they are not."""
        found = await self.every()
        missed = [one.name for one in await self.watchdog() if one.state == "missed"]
        missed += [one.rule.name for one in found if one.state == "missed"]
        unknown = sum(one.state == "unknown" for one in found)
        return ExpectationsHealth(len(found), missed[:MOST_MISSED_SHOWN], unknown, last_error)

    async def watchdog(self) -> list[shapes.WatchdogRule]:
        """The rules that are built in."""
        return await self._database.read(self.built_in)

    async def shown(self, name: str) -> shapes.Expectation:
        """One of them with its episodes."""
        rule = self._named(name)
        found = next((one for one in await self.every() if one.rule.name == name), None)
        if found is None:
            raise NotFound(f"there is no expectation {name[:80]!r}")
        episodes = await self._database.read(lambda db: rows.episodes(db, rule.id, SHOWN_EPISODES))
        found.episodes = [self._episode(rule, one) for one in episodes]
        return found

    def _shown(self, row: RuleRow, counts: dict[tuple[int, str], int], unknown: list[EpisodeRow]) -> shapes.Expectation:
        rule = self.rules[row.id]
        missed, waiting = counts.get((row.id, "missed"), 0), counts.get((row.id, "unknown"), 0)
        behind = {name for one in unknown if one.expectation == row.id for name in self.behind(rule, one)}
        state: shapes.ExpectationState = "missed" if missed else "unknown" if waiting else "ok"
        return shapes.Expectation(
            rule=rule.document,
            about=rule.about,
            state="paused" if rule.document.paused else state,
            made=format_seconds(row.made),
            open=counts.get((row.id, "open"), 0),
            unknown=waiting,
            missed=missed,
            behind=sorted(behind),
            overflow=row.overflow,
            faults=row.faults,
            fault=row.fault,
        )

    def _episode(self, rule: Rule, one: EpisodeRow) -> shapes.Episode:
        return shapes.Episode(
            key=one.key,
            state=one.state,  # type: ignore[arg-type]
            began=format_seconds(one.began),
            due=format_seconds(one.due),
            behind=self.behind(rule, one) if one.state == "unknown" else [],
        )


def _said(document: ExpectationDocument) -> dict[str, object]:
    found: dict[str, object] = msgspec.to_builtins(document)
    return found
