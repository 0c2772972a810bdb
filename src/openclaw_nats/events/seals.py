"""The seal: by it a message proves that a sidecar stored it, for whom, and when.

The header `Openclaw-Nats-Seal` is `<when>.<t or u>.<mac>.<origin>`. The mac is an HMAC-SHA256 with the key of the state
directory over all of that, the subject and the bytes of the body. `when` is the time of sealing, in milliseconds by the
stream's clock; of what nats-server stores for us later (a job's tick, a timer) it is `tick`, and its own body says for
when it is. Whoever can read the stream can store a sealed message once more: it has the seal of the first, so that it
is the same event (`StoredMessage.seal`), and long after the time of sealing, when nobody remembers that any more, it
counts as outside.

Only the header's exact name counts, and of the other headers of a sealed event none: the seal is not about them.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from functools import lru_cache

from openclaw_nats.errors import InvalidInput
from openclaw_nats.events import envelope, json_text
from openclaw_nats.events.makers import agent_made, maker_of
from openclaw_nats.events.messages import StoredMessage
from openclaw_nats.events.origin import Origin, is_outsiders, of_agent

SEAL = "Openclaw-Nats-Seal"
KEPT_SECONDS = 30 * 86400.0  # setting `inbox.keep`
SCHEDULER = "Nats-Scheduler"
TICK = "tick"
_EARLY_SECONDS = 1.0
_MAC = 32  # hexadecimal digits: 128 bits
_NEVER = float("inf")


class Seals:
    """Makes seals and checks them; `key` is at least 16 bytes.

    `keep` is for how many seconds the inbox remembers events. `unsealed_until` (nanoseconds, the stream's clock) is
    when this state directory began to seal: what was stored before may be anybody's, but is taken as it was until then.
    `armed` holds the marks of ticks that lay in the schedules stream at that time.
    """

    def __init__(self, key: bytes, keep: float = KEPT_SECONDS, clock: Callable[[], float] = time.time) -> None:
        # Copied for each, so that the key's own part is worked out once; what OpenSSL has within copies faster.
        keyed = hmac.new(key, digestmod="sha256")
        self._keyed: hmac.HMAC = getattr(keyed, "_hmac", None) or keyed
        self.keep = keep
        self.clock = clock
        self.unsealed_until = 0
        self.armed: frozenset[str] = frozenset()

    def seal(self, subject: str, body: bytes, origin: Origin) -> str:
        """The header's value for a message that is stored now."""
        return self._made(str(int(self.clock() * 1000)), subject, body, origin)

    def tick(self, subject: str, body: bytes, origin: Origin) -> str:
        """The header's value for a message that nats-server stores when it is due."""
        return self._made(TICK, subject, body, origin)

    @property
    def fingerprint(self) -> str:
        """By what the key is known to other sidecars; nothing can be sealed with it."""
        return self._mac("fingerprint", "", b"")[:16]

    def document(self, subject: str, body: bytes) -> str:
        """The header's value for a job's document, which holds for as long as it is stored there."""
        return self._mac("document", subject, body)

    def is_document(self, value: str, subject: str, body: bytes) -> bool:
        """Whether `document` made it."""
        return value.isascii() and hmac.compare_digest(value, self.document(subject, body))

    def answer(self, question: bytes, body: bytes) -> str:
        """Proves to another sidecar of the fleet that a body answers its question, and is by a holder of the key."""
        return self._mac("answer", hashlib.sha256(question).hexdigest(), body)

    def another_id(self, number: str, turn: int) -> str:
        """A message's id in place of one under which somebody else has stored something; nobody else can know it."""
        return self._mac(f"again {turn}", number, b"")

    def mark(self, subject: str, body: bytes) -> str:
        """What a tick without a seal is known by, if it was armed before there were seals."""
        return self._mac("armed", subject, body)

    def checked(self, message: StoredMessage) -> StoredMessage:
        """The message, with what its seal proves noted in it. One whose seal proves nothing is not believed."""
        value = message.headers.get(SEAL, "")
        parts = value.split(".", 3) if value.isascii() else ()
        if len(parts) != 4 or len(parts[2]) != _MAC or " " in parts[3] or " " in parts[0]:
            return self._without(message)
        when, taint, mac, name = parts
        if not hmac.compare_digest(mac, self._mac(f"{when}.{taint}.{name}", message.subject, message.body)):
            return self._without(message)
        if when == TICK:  # whose other headers are those by which nats-server says how late it came
            message.seal = f"{TICK}:{mac}"
        else:
            message.headers, message.seal = {SEAL: value}, f"seal:{mac}"
        if self._in_time(when, message):
            message.origin, message.believed = _origin(name, taint)
        else:
            message.seal, message.believed = "", False
        return message

    def sealed_at(self, message: StoredMessage) -> float | None:
        """When a checked message was first stored, at the latest some seconds before: seconds since the Unix epoch."""
        if not message.seal:
            return None
        when = TICK if message.seal.startswith(TICK) else message.headers[SEAL].partition(".")[0]
        if when != TICK:
            return int(when) / 1000
        moment = _moment(message, "firedAt")
        return moment if moment != _NEVER else None

    def is_foreign(self, message: StoredMessage) -> bool:
        """Whether a message has a seal that another key made, or that was altered."""
        return SEAL in message.headers and not message.seal

    def _in_time(self, when: str, message: StoredMessage) -> bool:
        stored = message.time / 1e9
        if when == TICK:
            due = _moment(message, "scheduledFor")
            return due - _EARLY_SECONDS <= stored <= due + self.keep
        return abs(stored - int(when) / 1000) <= self.keep

    def _without(self, message: StoredMessage) -> StoredMessage:
        message.believed = message.time < self.unsealed_until
        if SCHEDULER in message.headers and self.armed:
            mark = self.mark(message.subject, message.body)
            if mark in self.armed and self._in_time(TICK, message):
                message.origin, message.believed, message.seal = _maker(message), True, f"{TICK}:{mark}"
        return message

    def _made(self, when: str, subject: str, body: bytes, origin: Origin) -> str:
        taint = "t" if origin.tainted else "u"
        mac = self._mac(f"{when}.{taint}.{origin.name}", subject, body)
        return f"{when}.{taint}.{mac}.{origin.name}"

    def _mac(self, head: str, subject: str, body: bytes) -> str:
        # Neither the head nor the subject holds a space, so that no two lists give one text.
        keyed = self._keyed.copy()
        keyed.update(f"seal {head} {subject} ".encode("utf-8", "surrogatepass"))
        keyed.update(body)
        return keyed.hexdigest()[:_MAC]


@lru_cache(maxsize=1024)
def _origin(name: str, taint: str) -> tuple[Origin, bool]:
    """Who said it, and whether what it says of the Gateway counts."""
    return Origin(name, taint == "t"), not is_outsiders(name)


def _maker(message: StoredMessage) -> Origin:
    """The origin of a tick that was armed before there were seals, by what it says itself."""
    found = maker_of(agent_made(json_text.shown(message.body)))
    return of_agent(found.agent if found is not None else "", tainted=True)


def _moment(message: StoredMessage, name: str) -> float:
    """A time that a tick gives of itself, in seconds since the Unix epoch; infinity when it does not say."""
    try:
        data = json_text.values(bytes(envelope.decode(message.body).data))
        note = data.get("_cron") or data.get("_timer")
        return envelope.parse_time(note[name]).timestamp()
    except (InvalidInput, ValueError, KeyError, TypeError, AttributeError):
        return _NEVER
