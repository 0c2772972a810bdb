"""A rule about silence, compiled when it is saved."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from openclaw_nats.contract.checking import check, within
from openclaw_nats.contract.expectations import ExpectationDocument
from openclaw_nats.errors import InvalidInput, Poison
from openclaw_nats.events.condition_worker import key_text
from openclaw_nats.events.conditions import Condition, Context, Expression
from openclaw_nats.events.makers import Maker
from openclaw_nats.events.subjects import GATEWAY_OWN, check_pattern, covers, matches
from openclaw_nats.schedules.cron import Cron, cron, next_runs
from openclaw_nats.settings import parse_duration

OWN = "agent.events.expectation."
MAX_SECONDS = 366 * 86400.0
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Rule:
    """A compiled rule. Durations are seconds."""

    id: int
    document: ExpectationDocument
    after_sequence: int
    within: float
    grace: float
    lookback: float
    cron: Cron | None
    key: Expression | None
    spools: bool
    maker: Maker | None = None
    conditions: tuple[Condition, ...] = field(default=())

    @property
    def name(self) -> str:
        """Its unique name."""
        return self.document.name

    @property
    def begins(self) -> str | None:
        """What begins an episode; None where time alone does."""
        return self.document.after or self.document.before

    @property
    def forbids(self) -> bool:
        """Whether `by` must not come."""
        return self.document.before is not None

    @property
    def periodic(self) -> bool:
        """Whether `by` has to come again and again."""
        return self.begins is None

    @property
    def patterns(self) -> list[str]:
        """What it has to see."""
        return [one for one in (self.document.by, self.begins) if one is not None]

    @property
    def looks_inside(self) -> bool:
        """Whether it has to see an event's content."""
        return self.key is not None

    def is_cheap(self, size: int) -> bool:
        """Whether its key may be worked out in the event loop (see Expression.is_cheap)."""
        return self.key is None or self.key.is_cheap(size)

    def judge(self, context: Context) -> str | None:
        """The key of an event; raise Poison when it has none."""
        if self.key is None:
            return ""
        value = self.key.evaluate(context)
        try:
            return key_text(value)
        except (TypeError, ValueError):
            raise Poison(f"key is {type(value).__name__}, which can't be a key") from None

    def due_after(self, moment: float) -> float:
        """When an episode that begins at `moment` is due; both in seconds since the Unix epoch."""
        if self.cron is not None:
            found = next_runs(self.cron, moment + self.lookback, 1)
            return (found[0] if found else moment + MAX_SECONDS) + self.grace
        return moment + self.within + self.grace

    @property
    def about(self) -> str:
        """One line for people."""
        one = self.document
        same = " with the same key" if one.key else ""
        if one.before:
            return f"no {_short(one.by)} within {one.within} after {_short(one.before)}{same}"
        if one.after:
            return f"{_short(one.by)} within {one.within} after each {_short(one.after)}{same}"
        often = f"at {one.cron} ({one.timezone or 'UTC'})" if one.cron else f"every {one.every}"
        return f"{_short(one.by)} {often}" + (f", with {one.grace} of grace" if one.grace else "")


def _short(pattern: str) -> str:
    return pattern.removeprefix("agent.events.")


def parse(value: object) -> ExpectationDocument:
    """Check the shape of a rule; raise InvalidInput that names the field."""
    return check(value, ExpectationDocument, "an expectation", InvalidInput)


def compile_rule(
    document: ExpectationDocument, number: int = 0, after_sequence: int = 0, timezone: str = "UTC"
) -> Rule:
    """Check everything in a rule; raise InvalidInput or another error of ours that says what is wrong and where."""
    if not NAME.fullmatch(document.name):
        raise InvalidInput("name must be small letters, digits, - and _, at most 64", field="name")
    for name in ("by", "after", "before"):
        pattern = getattr(document, name)
        if pattern is not None:
            with within(name):
                check_pattern(pattern)
            if pattern.startswith(OWN):
                raise InvalidInput(f"{name}: an expectation does not look at what expectations say", field=name)
    _check_form(document)
    key = None
    if document.key is not None:
        with within("key"):
            key = Expression(document.key, "key")
    compiled = None
    if document.cron is not None:
        with within("cron"):
            compiled = cron(document.cron, document.timezone or timezone)
    spools = document.spools
    if spools is None:
        spools = any(covers(own, document.by) or covers(document.by, own) for own in GATEWAY_OWN)
    return Rule(
        id=number,
        document=document,
        after_sequence=after_sequence,
        within=_seconds(document, "within") or _seconds(document, "every"),
        grace=_seconds(document, "grace"),
        lookback=_seconds(document, "lookback"),
        cron=compiled,
        key=key,
        spools=spools,
    )


def _check_form(document: ExpectationDocument) -> None:
    given = [name for name in ("after", "before", "every", "cron") if getattr(document, name) is not None]
    if len(given) != 1:
        raise InvalidInput(
            "an expectation needs one of after, before, every and cron",
            hint="`--after A --by B --within 10m`, `--before A --by B --within 10m`, `--every 1d --by B`, "
            "`--cron '0 3 * * *' --by B`.",
            field=given[1] if given else "after",
        )
    form = given[0]
    wanted = {"after": ("within", "lookback", "key"), "before": ("within", "key")}
    allowed = wanted.get(form, ("grace", "timezone", "lookback") if form == "cron" else ("grace",))
    if form in wanted and document.within is None:
        raise InvalidInput(f"within is missing: how long after an event on {form}?", field="within")
    for name in ("within", "lookback", "key", "grace", "timezone"):
        if getattr(document, name) is not None and name not in allowed:
            raise InvalidInput(f"{name} says nothing where {form} is given", field=name, hint="Leave it out.")


def _seconds(document: ExpectationDocument, name: str) -> float:
    text = getattr(document, name)
    if text is None:
        return 0.0
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise InvalidInput(f"{name} must be {error}", field=name) from None
    if found > MAX_SECONDS or (found < 1 and name in ("within", "every")):
        raise InvalidInput(f"{name} must be at least 1s and at most 366d", field=name)
    return found


class Index:
    """Which rules take a subject, and as what. It remembers the answers."""

    def __init__(self, rules: list[Rule]) -> None:
        self._rules = [one for one in rules if not one.document.paused]
        self._known: dict[str, list[tuple[Rule, str]]] = {}

    def of(self, subject: str) -> list[tuple[Rule, str]]:
        """Rules with `by` or `begins`; first what ends an episode, then what begins one."""
        found = self._known.get(subject)
        if found is None:
            if len(self._known) > 4096:
                self._known.clear()
            rules = [] if subject.startswith(OWN) else self._rules
            found = [(one, "by") for one in rules if matches(one.document.by, subject)]
            found += [(one, "begins") for one in rules if one.begins and matches(one.begins, subject)]
            self._known[subject] = found
        return found
