"""The contracts between the parts. An implementation passes the suite of that name in tests/contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from openclaw_nats.contract.plugin import RunPolicy
from openclaw_nats.errors import InvalidInput
from openclaw_nats.events.messages import Message, Stored, StoredMessage
from openclaw_nats.events.origin import OUTSIDE, Origin, vouches

_NEARLY = 1.1  # a stream at ten elevenths of a limit


class EventLog(Protocol):
    """An append-only log with deduplication by `Message.id` (JetStream's stream `agent_events`)."""

    @property
    def max_body(self) -> int:
        """The largest body in bytes that can be stored at present."""

    async def append(self, messages: Sequence[Message]) -> list[Stored | InvalidInput]:
        """Store all messages, in order; return one result each: InvalidInput for one that can never be stored.

        Returns only after the log's own acknowledgement: with durability `always` the events are on disk and survive
        `kill -9` of every process and a power cut. Raises Unavailable when it can't; then each message may or may not
        be stored, and the caller repeats with the same ids. Safe to call concurrently; ids within one call differ.
        """

    async def stored_since(
        self, start_time: float, messages: Sequence[Message], plain_until: float = 0.0
    ) -> dict[str, int]:
        """The ids of those messages, with their sequences, that were stored at `start_time` (Unix time) or later.

        What was stored before `plain_until` may also be known by the event's own id and source: versions without
        keyed ids stored it under that.
        """

    def read(
        self, *, subject: str, since: float | None, limit: int | None, follow: bool, after: int = 0
    ) -> AsyncIterator[StoredMessage | None]:
        """Yield stored messages on a subject pattern, oldest first.

        `since` is seconds since the Unix epoch; `after` a sequence, and then `since` is not looked at; `limit` keeps
        the newest so many. Ends when it has caught up, unless
        `follow`: then it goes on with new messages and yields None now and then while there is none. A reader does
        not change what is stored. Raises Unavailable when the log can't be read.
        """


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """How the stream is: when it was made, what it holds, and its limits (0: none); `max_age` and `now` in seconds.

    `now` is the stream's clock, seconds since the Unix epoch.
    """

    created: str
    first: int
    last: int
    messages: int
    bytes: int
    max_age: float
    max_bytes: int
    max_messages: int
    now: float

    @property
    def is_full(self) -> bool:
        """Whether it is so near a limit of its size that it may have made room."""
        return 0 < self.max_bytes <= self.bytes * _NEARLY or 0 < self.max_messages <= self.messages * _NEARLY


class StreamView(Protocol):
    """The events stream. Both raise Unavailable."""

    async def facts(self) -> StreamFacts:
        """How it is now."""

    def read(self, after: int) -> AsyncIterator[StoredMessage]:
        """All messages behind a sequence up to the last one that there is now, in order."""


@dataclass(frozen=True)
class Delivered:
    """One message of the stream as a consumer hands it out; `reply` is where its acknowledgement goes."""

    message: StoredMessage
    reply: str


@dataclass(frozen=True, slots=True)
class Position:
    """How far a consumer is: of what its filters cover, everything up to the sequence `handled` is in the inbox.

    `stream` is when the stream was created: in another one the sequences are others.
    """

    stream: str
    filters: tuple[str, ...]
    handled: int


@dataclass(frozen=True, slots=True)
class Standing:
    """The stream's first and last sequence, and how far this Gateway's consumer is; None when it has none.

    `stream` names the stream's incarnation: it is another one when the stream was made again, or put back to an earlier
    state. Of that stream, everything up to the sequence `kept` was there before; what is behind it is new since `since`
    (seconds since the Unix epoch, the stream's clock).
    """

    stream: str
    first: int
    last: int
    position: Position | None
    kept: int = 0
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest message that was seen of a stream, by which it is known again.

    `created` is when the stream was made, `generation` how often it was put back since then, `time` when the message
    `sequence` was stored (nanoseconds since the Unix epoch). `kept` and `since` (nanoseconds) are as in Standing.
    """

    created: str
    generation: int
    sequence: int
    time: int
    kept: int = 0
    since: int = 0


class Positions(Protocol):
    """Where a consumer's position is kept while there is no consumer. All methods raise Unavailable."""

    async def load(self) -> Position | None:
        """The position that was saved last."""

    async def save(self, position: Position) -> None:
        """Keep a position; returns when it is on disk."""

    async def mark(self) -> Mark | None:
        """The mark that was kept last."""

    async def keep_mark(self, mark: Mark, position: Position | None = None) -> None:
        """Keep a mark, and with it a position if one is given: both or neither."""


class EventSource(Protocol):
    """A durable consumer of the events stream: each message comes until it is acknowledged, also after a restart."""

    @property
    def problem(self) -> str:
        """Why messages do not come, or come again and again, although no method fails; empty when nothing is known."""

    async def subscribe(self, filters: Sequence[str], wanted: Sequence[tuple[str, int]]) -> None:
        """From now on deliver messages on `filters`, which must not overlap; without any, nothing.

        `wanted` are the patterns behind them, each with the sequence after which it wants messages: what one of them
        has not seen yet comes, even if a consumer with other filters was past it. What comes twice has the same id.
        """

    async def next(self) -> list[Delivered]:
        """Wait for messages and return them, oldest first. Raises Unavailable when the stream can't be read.

        What was handed out and not acknowledged, by this process or one before it, comes again after ACK_SECONDS, and
        then in any order.
        """

    async def acknowledge(self, delivered: Sequence[Delivered]) -> None:
        """Messages are in the inbox: they need not come again. A lost acknowledgement only makes them come again."""

    async def position(self) -> tuple[str, int]:
        """(which stream it is: when it was created, its last sequence)."""

    async def standing(self) -> Standing:
        """Where stream and consumer are. Asking changes nothing."""

    async def count_after(self, sequence: int) -> int:
        """How many events of any subject there are behind a sequence."""


class Followed(Protocol):
    """The events stream for one reader that keeps his position himself. Every method raises Unavailable."""

    async def open(self, patterns: Sequence[str], after: int) -> None:
        """Begin behind a sequence, on patterns that do not overlap; what was open before ends."""

    async def next(self) -> list[StoredMessage]:
        """The next messages, in order and none left out; none when there was none for about a second."""

    async def last(self, pattern: str) -> int:
        """The sequence of the newest message on a pattern, as the stream's leader has it; 0 when there is none."""

    async def close(self) -> None:
        """Leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Record:
    """One message of the schedules stream. `time` is when it was stored, seconds since the Unix epoch.

    `ours` says that a sidecar with our key wrote it, `vouched` that one did, or that it is older than seals.
    """

    subject: str
    sequence: int
    body: bytes
    headers: Mapping[str, str]
    time: float
    ours: bool = True
    vouched: bool = True


@dataclass(frozen=True, slots=True)
class Arm:
    """An event that is to be stored on `target` at `at` (seconds since the Unix epoch).

    It lies at `subject` until then. `alone` is a pattern: it is only armed when no message is on that. `keep` is how
    many seconds after `at` it is still wanted, when the server was down at that moment; None for ever. After that the
    server removes it, or fires it all the same: then readers take it as skipped (events/lateness.py).
    """

    subject: str
    target: str
    at: float
    body: bytes
    alone: str = ""
    keep: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ScheduleLog(Protocol):
    """The stream `agent_schedules`: one message a subject, no age limit, and messages that are due at a time.

    What is on `agent.schedules.fired.*.*.*.<rest>` comes into the events stream as `agent.events.<rest>`, once. The
    server does that, and fires what is due, with no sidecar at all; what was due while it was down fires when it is
    back. Every method raises Unavailable when the server can't be asked, and Unsupported when it is too old.
    """

    async def read(self, pattern: str) -> list[Record]:
        """All messages on a subject pattern, oldest first."""

    async def last(self, pattern: str) -> Record | None:
        """The newest message on a subject pattern."""

    async def subjects(self, pattern: str) -> list[str]:
        """The subjects that have a message."""

    async def write(
        self,
        subject: str,
        body: bytes,
        *,
        revision: int | None = None,
        alone: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Store a message in place of the one on that subject; its sequence. Without `headers` it is sealed as ours.

        Raises Conflict when that one's sequence is not `revision` (0: there is none), or when there is a message on the
        pattern `alone`. Returns when it is on disk.
        """

    async def arm(self, arms: Sequence[Arm]) -> list[bool]:
        """Arm events; False for each that was not alone. What is due in the past fires at once."""

    async def purge(self, pattern: str, keep: int = 0) -> int:
        """Remove messages but the newest `keep`; how many. What was armed there does not fire any more."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Whom a job or timer wakes. `owner` names it: `cron/<name>`, or `timer/<name>@<when it fires>`.

    `target` is as a route has it, `made_by` the mark of the agent that made it, empty for the operator.
    """

    owner: str
    subject: str
    target: object
    instruction: str
    made_by: str = ""


class WakeBook(Protocol):
    """Keeps for each Wake the route that its ticks take. Nobody else's event on the subject goes there."""

    def wakes(self) -> dict[str, Wake]:
        """All that there are, by owner."""

    async def put_wake(self, wake: Wake) -> None:
        """Create it, or replace the one of that owner; raise InvalidInput for a target that nothing can answer.

        Returns when it is on disk: what fires from then on is taken.
        """

    async def remove_wake(self, owner: str, reason: str) -> None:
        """Remove it, if it is there; what waits for it is dropped, with that reason."""

    async def is_done(self, owner: str) -> bool | None:
        """Whether all that it was for has ended well; None when nothing has come for it yet."""


class JobWatch(Protocol):
    """Notices cron jobs that leave the schedules stream by themselves."""

    async def removing(self, key: str) -> None:
        """A job goes because somebody asked for it."""

    async def look(self, mine: Mapping[str, str], there: Collection[str]) -> None:
        """What is in the stream: names by key of this Gateway's jobs, and the keys of all. Raise Unavailable."""


class NoJobWatch:
    """Notices nothing."""

    async def removing(self, key: str) -> None:
        """See JobWatch.removing."""

    async def look(self, mine: Mapping[str, str], there: Collection[str]) -> None:
        """See JobWatch.look."""


class Gate(Protocol):
    """Whether this sidecar is the one of its gateway.id. What delivers asks before each thing that it does."""

    @property
    def allowed(self) -> bool:
        """Whether it may deliver at this moment."""

    @property
    def problem(self) -> str:
        """Why not; empty when it may."""

    async def wait(self) -> None:
        """Return as soon as it may."""


class OpenGate:
    """For a sidecar that is surely alone."""

    allowed = True
    problem = ""

    async def wait(self) -> None:
        """Nothing to wait for."""


class LeaseStore(Protocol):
    """One record that several sidecars write, each only in place of the one that it has seen."""

    async def read(self) -> tuple[int, bytes] | None:
        """(its revision, its content); None when there is none. Raises Unavailable; StreamConflict: never possible."""

    async def write(self, body: bytes, revision: int) -> int:
        """Put `body` in place of `revision` (0: there is none) and return the new revision, when it is on disk.

        Raises Conflict when another revision is there, Unavailable when it is not known whether it was written.
        """


@dataclass(frozen=True)
class Parcel:
    """One dispatch as a target gets it.

    `key` is the idempotency key and, through the plugin, the run's id: a repeated parcel has the same key and the same
    content. `hops` is what the events of the run that it starts carry. `way` is how an earlier attempt went.
    `traceparent` is that of its first event that has one, `made_by` the mark of the first agent that made one of them:
    a parcel that holds such an event is never trusted. `instruction` is what stands after the text, outside its marks.
    `origin` is who said its events, `policy` what its run may do.
    """

    key: str
    dispatch: str
    route: str
    kind: str
    text: str
    events: int
    hops: int
    trusted: bool
    confirm: str
    agent: str = ""
    session: str = ""
    url: str = ""
    secret: str = ""
    subject: str = ""
    content_type: str = ""
    way: str = ""
    traceparent: str = ""
    made_by: str = ""
    instruction: str = ""
    origin: Origin = OUTSIDE
    policy: RunPolicy | None = None

    @property
    def believed(self) -> bool:
        """Whether what its events say about the Gateway may be passed on as true."""
        return vouches(self.origin.name)


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a dispatch ended: by which way, with which run, `ok`, `error` or `accepted`, and the end of the reply."""

    way: str
    run_id: str
    outcome: str
    reply: str = ""


class Sender(Protocol):
    """A way to one kind of target."""

    async def send(self, parcel: Parcel) -> Receipt:
        """Deliver and return the receipt: when this returns, the target has it.

        Raises RetryLater when it may work later (whether the target acted is then not known, unless the error says
        so), GiveUp when it never will. Safe to call concurrently, and again with the same key.
        """
