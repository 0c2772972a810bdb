"""Expectations: rules about what has to come, and when."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Duration, Pattern, Time

ExpectationState = Literal["ok", "unknown", "missed", "paused"]
WatchdogState = Literal["ok", "missed", "learning", "off"]
EpisodeState = Literal["open", "unknown", "missed"]
# Also a token of the subjects on which its notices are.
ExpectationName = Annotated[
    str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="small letters, digits, - and _; at most 64")
]


class ExpectationDocument(Struct, rename="camel", forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A rule. `by` has to come `within` a time after each event on `after`; or must not come within that time after an
    event on `before`; or has to come `every` so often, or for each time of `cron`, with some `grace`.

    `key` is a CEL expression whose value says which events belong together. `lookback`: an event on `by` that came so
    long before the one on `after`, or before the time of `cron`, counts. `spools` says whether an absence has to wait
    until the Gateways have sent what their spools hold; without it, that is so where Gateways publish on `by`.
    """

    name: ExpectationName
    by: Pattern
    after: Pattern | None = None
    before: Pattern | None = None
    within: Duration | None = None
    every: Duration | None = None
    cron: str | None = None
    timezone: str | None = None
    grace: Duration | None = None
    lookback: Duration | None = None
    key: str | None = None
    spools: bool | None = None
    paused: bool = False


class Episode(Answer, kw_only=True, omit_defaults=True):
    """What a rule waits for, or has missed: since when and until when. `behind`, where it is not known yet: the
    Gateways whose spools may still hold the event.
    """

    key: str
    state: EpisodeState
    began: Time
    due: Time
    behind: list[str] = []


class Expectation(Answer, kw_only=True):
    """A rule and how it is. `open`, `unknown` and `missed` count its episodes, `overflow` those beyond the limit, which
    were not followed, `faults` events on which `key` failed; `fault` says how it did so last. `behind` names Gateways.
    """

    rule: ExpectationDocument
    about: str
    state: ExpectationState
    made: Time
    open: int
    unknown: int
    missed: int
    behind: list[str]
    overflow: int
    faults: int
    fault: str
    episodes: list[Episode] | UnsetType = UNSET


class WatchdogEpisode(Answer):
    """A run that is reported, its agent, and since when it lasts; both are empty where the Gateway is silent."""

    key: str
    agent: str
    since: Time


class WatchdogRule(Answer):
    """A rule that is built in. `learning`: too little is known of what is usual; `missed` counts what is so now, and
    `episodes` has the first 20 of them.
    """

    name: str
    about: str
    state: WatchdogState
    missed: int
    episodes: list[WatchdogEpisode]


class Expectations(Answer):
    """All rules, and those that are built in. `problem` says why nothing is judged now; empty while all is well."""

    expectations: list[Expectation]
    problem: str
    watchdog: list[WatchdogRule]


class ReadyExpectation(Answer, kw_only=True):
    """A ready-made rule. `needs` says what has to be given as `of`; empty for nothing."""

    name: str
    about: str
    needs: str = ""
    rule: ExpectationDocument


class ReadyExpectations(Answer):
    """All ready-made rules."""

    ready: list[ReadyExpectation]


class ExpectationTested(Answer):
    """A notice that was published as a test, and the routes that take it."""

    subject: str
    id: str
    routes: list[str]
