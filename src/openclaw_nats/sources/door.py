"""The door: a request is verified over its raw bytes before anything of it is read, stored, and only then answered.

A delivery is noted before it is stored, so that one that was cut off anywhere in between is known when the provider
sends it again: it is looked for in the stream, and stored once.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import msgspec
import structlog

from openclaw_nats.contract.sources import Accepted, SourceOptions
from openclaw_nats.errors import Filtered, InvalidEvent, InvalidInput, TooLarge, Unavailable
from openclaw_nats.events import content, envelope, json_text, modes
from openclaw_nats.events.ids import uuid7
from openclaw_nats.events.origin import Origin, of_source
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.deliveries import Deliveries
from openclaw_nats.sources.lasting import MOST_REMEMBERED, lasting, signed_by, signers
from openclaw_nats.sources.log import DoorLog
from openclaw_nats.sources.making import event_of
from openclaw_nats.sources.naming import subject_of
from openclaw_nats.sources.quarantine import Quarantine
from openclaw_nats.sources.schemes.catalog import SCHEMES, UNSIGNED
from openclaw_nats.sources.schemes.scheme import Received, Refused, Scheme, Verified
from openclaw_nats.sources.stored import StoredSource
from openclaw_nats.storage.database import Database
from openclaw_nats.storage.source_deliveries import NewDelivery

log = structlog.get_logger(__name__)

MAX_BODY = 1 << 20
KEEP_SECONDS = 30 * 86400.0
_PAUSED_SECONDS = 300.0
_LONGEST_ID = 200
_REPEATED = "a repetition"
_SIGNED = "s:"  # how keys of what was signed begin
_KEY_LENGTH = 42
_MOST_EVENTS = 5000
_batch = msgspec.json.Decoder(list[msgspec.Raw])


class Taken(Protocol):
    """What became of an event that is stored."""

    @property
    def duplicate(self) -> bool:
        """Whether it was stored before."""


class Storing(Protocol):
    """Stores events: outbound/ingest.py here, sources/house.py from another machine."""

    async def take(self, event: envelope.Event, document: bytes, origin: Origin, retry_since: float | None) -> Taken:
        """See Ingest.take."""


@dataclass(frozen=True)
class Outcome:
    """What is answered: an event that was stored, or `body` for a question of the provider's own."""

    status: int
    event: Accepted | None = None
    body: bytes = b""
    reply: tuple[int, bytes, str] | None = None  # status, body, content type in the provider's own form


class Door:
    """Takes in what providers send. Without a quarantine there is no way in for what nothing proves."""

    def __init__(
        self,
        book: SourceBook,
        door_log: DoorLog,
        ingest: Storing,
        database: Database,
        quarantine: Quarantine | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._quarantine = quarantine
        self._book = book
        self._log = door_log
        self._ingest = ingest
        self._deliveries = Deliveries(database)
        self._clock = clock

    async def run(self) -> None:
        """Write down what is known of deliveries, and forget those that nobody can repeat any more; for ever."""
        while True:
            await self._deliveries.tidy(self._clock(), signers(self._book), MOST_REMEMBERED)
            await self._deliveries.run()

    async def remembered(self, name: str) -> tuple[int, int | None]:
        """How many of a source's signatures are remembered for as long as they verify, and since when."""
        return await self._deliveries.remembered(name)

    async def forget(self, name: str) -> None:
        """The source is gone, or a new one: its deliveries begin anew."""
        await self._deliveries.forget(name)

    async def take(self, source: StoredSource, received: Received, peer: str = "") -> Outcome:
        """Verify a request and store its event; raise Refused, InvalidInput or Unavailable."""
        received = replace(received, now=self._clock())
        scheme = SCHEMES[source.type]
        try:
            secrets = self._book.secrets_of(source)
            verified = _verified(scheme, received, secrets, source.options)
            if source.paused:
                raise Unavailable(
                    f"the source {source.name} is paused by the operator",
                    retry_after=_PAUSED_SECONDS,
                    hint=f"`openclaw-nats sources resume {source.name}`",
                )
            if verified.answer is not None:
                self._log.note(source.name, 200, event="handshake", size=len(received.body), peer=peer)
                return Outcome(200 if verified.answer else 204, body=verified.answer)
            async with asyncio.timeout(scheme.seconds):
                if source.type == UNSIGNED:
                    return await self._put_aside(source, received, peer)
                lasts = bool(verified.signed) and verified.until == float("inf")
                secret = signed_by(scheme, received, secrets, source) if lasts else ""
                done = await self._store(source, received, verified, peer, secret)
                return replace(done, reply=scheme.reply(verified)) if scheme.reply is not None else done
        except TimeoutError:
            error: Exception = Unavailable(
                f"the event could not be stored within {scheme.seconds:g} s; it may be all the same, and is stored once"
            )
            self._refused(source, 503, error, received, peer)
            raise error from None
        except Refused as error:
            self._refused(source, 401, error, received, peer)
            raise
        except Unavailable as error:
            self._refused(source, 503, error, received, peer)
            raise
        except InvalidInput as error:
            self._refused(source, 413 if isinstance(error, TooLarge) else 422, error, received, peer)
            raise

    def _refused(self, source: StoredSource, status: int, error: Exception, received: Received, peer: str) -> None:
        self._log.note(source.name, status, reason=str(error), size=len(received.body), peer=peer)

    async def _put_aside(self, source: StoredSource, received: Received, peer: str) -> Outcome:
        """What nothing proves wakes nobody before the operator has released it."""
        if self._quarantine is None:
            raise Refused("there is no quarantine here")
        number, repeated = await self._quarantine.put(source, received, peer)
        status = 200 if repeated else 202
        why = "in quarantine"
        self._log.note(source.name, status, reason=why, size=len(received.body), peer=peer, delivery_known=repeated)
        return Outcome(status, Accepted(id=f"{source.name}:q{number}", subject="", duplicate=repeated))

    async def _store(
        self, source: StoredSource, received: Received, verified: Verified, peer: str, secret: str
    ) -> Outcome:
        outcomes = [
            await self._store_one(source, one, len(received.body), peer, secret)
            for one in _deliveries(source, received, verified)
        ]
        return next((one for one in outcomes if one.status == 202), outcomes[0]) if outcomes else Outcome(200)

    async def _store_one(self, source: StoredSource, one: _Delivery, size: int, peer: str, secret: str) -> Outcome:
        now = self._clock()
        event, document, keys = one.event, one.document, _keys(one.verified, now)
        shared = _shared(one.verified)
        lasts = lasting(secret, shared or keys[-1][0]) if secret else None
        delivery = NewDelivery(source.name, keys, event.id, event.subject, now, shared, lasts)
        known = await self._deliveries.begin(delivery)
        note = partial(
            self._log.note, source.name, event=known.subject, delivery=one.verified.delivery, size=size, peer=peer
        )
        repeated = Outcome(200, Accepted(id=known.event_id, subject=known.subject, duplicate=True))
        if known.stored:
            note(200, reason=_REPEATED, delivery_known=True)
            return repeated
        if (known.event_id, known.subject) != (event.id, event.subject):  # the same as one that was cut off
            event, document = _with_id(document, known.event_id, known.subject)
        duplicate, reason = False, ""
        try:
            taken = await self._ingest.take(event, document, of_source(source.name), known.first_at)
            duplicate = taken.duplicate
        except Filtered:  # what the operator's filter keeps out is not wanted: the provider need not send it again
            reason = "the operator's filter keeps it out"
        except Unavailable as error:
            if not error.unknown and known.fresh:  # nothing was sent: nobody has to look for it later
                await self._deliveries.never_sent(source.name, known.event_id)
            raise
        self._deliveries.stored(delivery, known)
        if duplicate:  # an earlier try had stored it
            note(200, reason=_REPEATED, delivery_known=True)
            return repeated
        note(202, reason=reason)
        return Outcome(202, Accepted(id=event.id, subject=event.subject))


@dataclass(frozen=True)
class _Delivery:
    """One event of a request."""

    event: envelope.Event
    document: bytes
    verified: Verified


def _verified(scheme: Scheme, received: Received, secrets: list[str], options: SourceOptions) -> Verified:
    try:
        return scheme.verify(received, secrets, options)
    except ValueError as error:  # an address that is none, say
        raise Refused(f"it can't be read: {error}") from None


def _keys(verified: Verified, now: float) -> list[tuple[str, float]]:
    """By what a repetition is known, each with until when. A delivery's id may be forged where it is not signed; what
    was signed may not.
    """
    keys = []
    if verified.delivery:
        digest = hashlib.sha256(verified.delivery.encode("utf-8", "surrogatepass")).hexdigest()
        keys.append((f"d:{digest[:40]}", now + KEEP_SECONDS))
    if verified.signed:
        key = f"{_shared(verified) or _SIGNED}{verified.signed.hex()}"[:_KEY_LENGTH]
        keys.append((key, min(verified.until, now + KEEP_SECONDS)))
    return keys or [(f"d:{uuid7(int(now * 1000))}", now + 1)]


def _shared(verified: Verified) -> str:
    """How the key of what was signed begins for all that have it in common; empty where none do."""
    return f"{_SIGNED}{verified.shared.hex()[:24]}" if verified.shared else ""


def _deliveries(source: StoredSource, received: Received, verified: Verified) -> list[_Delivery]:
    """The events of a request: one, or for a batch of CloudEvents several. Raises InvalidInput."""
    if source.type == "cloudevents":
        return [_cloud_event(source, one, verified) for one in _cloud_events(received, _placeholder(source))]
    now = int(received.now * 1000)
    seen = verified.signed.hex()[:32]
    if not verified.delivery and verified.until != float("inf"):
        seen += f"-{now}"  # later the same again is another event
    number = _id(source, verified.delivery or seen or uuid7(now))
    return [_Delivery(*event_of(source, received, source.type, verified.event, number, now), verified)]


def _placeholder(source: StoredSource) -> str:
    """The subject of a CloudEvent while it is read: its own is made of its type."""
    return f"{source.subject}.x"


def _cloud_events(received: Received, subject: str) -> list[bytes]:
    """The CloudEvents documents of a request, in each of the HTTP binding's content modes."""
    headers = dict(received.headers)
    kind = content.media_type(headers.get("content-type", ""))
    if kind == modes.BATCH:
        try:
            found = _batch.decode(content.without_mark(received.body))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            raise InvalidEvent("the request is no batch of CloudEvents") from None
        if len(found) > _MOST_EVENTS:
            raise InvalidEvent(f"a batch has at most {_MOST_EVENTS} events, not {len(found)}")
        return [json_text.well_formed(bytes(one)) for one in found]
    modes.check_format(kind)
    if modes.is_binary(headers):
        made: dict[str, Any] = {"time": envelope.format_time(int(received.now * 1000))}
        return [modes.binary(headers, received.body, subject, made)]
    return [json_text.well_formed(content.without_mark(received.body))]


def _cloud_event(source: StoredSource, whole: bytes, verified: Verified) -> _Delivery:
    """A CloudEvent keeps its source, type and data; its subject is the source's, whatever it says."""
    fields = modes.fields_of(whole)
    if fields is None or not modes.is_event(fields):
        raise InvalidEvent("the request holds no CloudEvent")
    read, document = envelope.read(modes.with_subject(whole, fields, _placeholder(source)))
    delivery = f"{len(read.source)}:{read.source}{read.id}"  # with its length: no two pairs give one text
    number, subject = _id(source, f"{read.id}-{_short(delivery)}"), subject_of(source.subject, read.type)
    event, document = _with_id(document, number, subject)
    return _Delivery(event, document, replace(verified, event=read.type, delivery=delivery))


def _with_id(document: bytes, number: str, subject: str) -> tuple[envelope.Event, bytes]:
    fields = modes.fields_of(document) or {}
    fields["id"] = msgspec.Raw(msgspec.json.encode(number))
    fields["subject"] = msgspec.Raw(msgspec.json.encode(subject))
    return envelope.read(msgspec.json.encode(fields))


def _id(source: StoredSource, delivery: str) -> str:
    """The document's id: what the provider calls the delivery, behind the source's name."""
    # Half characters are not printable: two that differ in one are not one.
    fits = delivery.isprintable() and delivery == delivery.strip() and len(delivery.encode()) <= _LONGEST_ID
    return f"{source.name}:{delivery if fits else _short(delivery)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
