"""The deadline of an episode: a message that nats-server stores when it is due, whether a sidecar runs or not."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from openclaw_nats.events import envelope
from openclaw_nats.events.envelope import Event, format_time
from openclaw_nats.events.identity import Identity
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import GATEWAY
from openclaw_nats.events.seals import SEAL, TICK
from openclaw_nats.expectations.episodes import Fired
from openclaw_nats.expectations.rule import OWN
from openclaw_nats.ports import Arm, ScheduleLog
from openclaw_nats.schedules import names
from openclaw_nats.storage.expectations import EpisodeRow

DUE = f"{OWN}due."


class _Note(msgspec.Struct, rename="camel"):
    gateway: str
    episode: int


class Deadlines:
    """Arms and cancels deadlines."""

    def __init__(self, log: ScheduleLog, identity: Identity, gateway_id: str) -> None:
        self._log = log
        self._identity = identity
        self._gateway_id = gateway_id

    async def arm(self, episodes: Sequence[tuple[str, EpisodeRow]]) -> None:
        """Arm those of rules of these names; armed twice they are the same. Raise Unavailable, or Unsupported."""
        await self._log.arm([self._armed(name, one) for name, one in episodes])

    async def cancel(self, numbers: Sequence[int]) -> None:
        """What was armed for them need not fire: one that does all the same finds nothing to do."""
        for one in numbers:
            await self._log.purge(names.deadline_subject(self._key(one)))

    def fired(self, message: StoredMessage) -> Fired | None:
        """What a message fires; None for one that our own sidecars did not arm, or for another Gateway."""
        if not message.subject.startswith(DUE) or not message.believed or not message.seal.startswith(TICK):
            return None
        try:
            note = msgspec.json.decode(envelope.decode(message.body).data, type=_Note)
        except Exception:  # what a key of ours has sealed, but another version wrote
            return None
        return Fired(note.episode, message.time / 1e9) if note.gateway == self._gateway_id else None

    def _key(self, number: int) -> str:
        return names.key_in(self._gateway_id, f"{number}")

    def _armed(self, name: str, one: EpisodeRow) -> Arm:
        subject, at = f"{DUE}{name}", int(one.due * 1000 + 0.999)
        timer = {"name": name, "scheduledFor": format_time(at), "firedAt": format_time(at)}
        event = Event(
            specversion="1.0",
            id=f"expectation:{self._gateway_id}:{one.id}:{at}",
            source=f"openclaw://{self._gateway_id}/bus",
            type=envelope.type_of(subject),
            subject=subject,
            time=format_time(at),
            gatewayid=self._gateway_id,
            data=msgspec.Raw(msgspec.json.encode({"gateway": self._gateway_id, "episode": one.id, "_timer": timer})),
        )
        body = envelope.encode(event)
        key = self._key(one.id)
        target = names.fired(names.EXPECT, key, at, subject)
        headers = {SEAL: self._identity.seals.tick(subject, body, GATEWAY)}
        return Arm(names.deadline_subject(key), target, at / 1000, body, headers=headers)
