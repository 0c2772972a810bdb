"""The target `subject`: the event goes out again on another subject, one delivery further from the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from openclaw_nats.errors import GiveUp, InvalidInput, RetryLater, Unavailable
from openclaw_nats.events import trace
from openclaw_nats.events.conditions import CLAIMS
from openclaw_nats.events.envelope import type_of
from openclaw_nats.events.identity import REPUBLISH, Identity
from openclaw_nats.events.messages import Message, Stored
from openclaw_nats.events.subjects import PREFIX
from openclaw_nats.ports import EventLog, Parcel, Receipt

WAY = "nats"
Publish = Callable[[str, bytes, dict[str, str] | None], Awaitable[None]]


class Republisher:
    """Publishes under `agent.events.` into the stream, elsewhere as a plain NATS message."""

    def __init__(self, log: EventLog, publish: Publish, identity: Identity) -> None:
        self._log = log
        self._identity = identity
        self._publish = publish

    async def send(self, parcel: Parcel) -> Receipt:
        """Publish one parcel; see Sender.send. In the stream the key makes a repetition a duplicate."""
        if not parcel.subject.startswith(PREFIX):
            await self._plain(parcel)
            return Receipt(WAY, "", "accepted")
        documents = [_again(one, parcel, place) for place, one in enumerate(_documents(parcel))]
        messages = [self._message(parcel, one) for one in documents]
        try:
            results = await self._log.append(messages)
        except Unavailable as error:
            raise RetryLater(str(error), retry_after=error.retry_after) from None
        for result in results:
            if isinstance(result, InvalidInput):
                raise GiveUp(str(result))
        assert isinstance(results[0], Stored)  # noqa: S101  (what is no InvalidInput is stored)
        return Receipt(WAY, str(results[0].sequence), "ok")

    def _message(self, parcel: Parcel, document: dict[str, object]) -> Message:
        source, number = str(document["source"]), str(document["id"])
        body = msgspec.json.encode(document)
        return self._identity.message(parcel.subject, body, parcel.origin, REPUBLISH, source, number)

    async def _plain(self, parcel: Parcel) -> None:
        body = parcel.text.encode()
        if len(body) > self._log.max_body:
            raise GiveUp(f"the event is {len(body)} bytes long; NATS takes {self._log.max_body}")
        headers = {trace.HEADER: parcel.traceparent} if parcel.traceparent else None
        try:
            await self._publish(parcel.subject, body, headers)
        except Unavailable as error:
            raise RetryLater(str(error), retry_after=error.retry_after) from None


def _documents(parcel: Parcel) -> list[dict[str, object]]:
    if not parcel.content_type.startswith("application/cloudevents"):
        text: dict[str, object] = {"data": parcel.text, "datacontenttype": "text/plain"}
        return [{**text, "traceparent": parcel.traceparent} if parcel.traceparent else text]
    found = msgspec.json.decode(parcel.text, type=dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]])
    return [dict(one) for one in (found if isinstance(found, list) else [found])]


def _again(document: dict[str, object], parcel: Parcel, place: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "source": "openclaw-nats",
        **{name: value for name, value in document.items() if parcel.believed or name not in CLAIMS},
        "id": f"{parcel.key}.{place}",
        "subject": parcel.subject,
        "type": type_of(parcel.subject),
        "causationid": parcel.dispatch,
        "hops": parcel.hops,
        **({"madeby": parcel.made_by} if parcel.made_by else {}),
    }
