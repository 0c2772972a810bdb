"""Every error that this project raises on purpose.

OpenClawNatsError            what happened, and what to do next (hint)
├── InvalidInput             the caller's fault; repeating it cannot help
│   ├── InvalidSubject       a NATS subject or pattern breaks a rule
│   ├── InvalidEvent         an event's field is missing, malformed or of the wrong type
│   ├── TooLarge             over a documented size limit
│   ├── Filtered             the operator's filter does not let this subject through
│   ├── InvalidRoute         a field of a route is wrong: names the field, and the position where there is one
│   ├── InvalidSchedule      a field of a cron job or timer is wrong: names it, and the nearest right form
│   ├── NotAllowed           the operator's limits for agents do not allow it
│   ├── InvalidBackup        a file is no whole backup of ours: says what is wrong with it
│   ├── Conflict             somebody else changed the same thing at the same moment
│   └── NotFound             nothing has that name or number
├── Poison                   one event can't be handled for a reason of its own: it becomes a dead letter
├── DeliveryError            a target did not take a dispatch
│   ├── RetryLater           it may take it later
│   └── GiveUp               it never will
├── WatchFailed              a watcher can't see what it watches; it is tried again
├── Unavailable              JetStream, the disk or memory can't take it now; repeat later with the same ids
├── Unsupported              this nats-server can't do it: says from which version on it can
├── Mistake                  a mistake of ours: repeating it as it is can't help
├── StreamConflict           a stream exists that can't serve as ours
├── SettingsError            a setting is wrong: names the field, the value and what would be right
│   └── NotSetUp             there is no key: `setup` makes one
└── SetupError               an installer step failed
"""

from __future__ import annotations

import os
import re


class OpenClawNatsError(Exception):
    """What happened (`str(error)`) and, in `hint`, what the operator can do about it.

    `exit_code` is what a command ends with: 1 it failed, 2 bad input, 3 something can't be reached.
    """

    exit_code = 1
    field = ""  # the path of the field that is wrong, as in the API; only of InvalidInput

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InvalidInput(OpenClawNatsError):
    """The request can never succeed as it stands. `field` is the path of the field that is wrong, as in the API."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", field: str = "") -> None:
        super().__init__(message, hint=hint)
        self.field = field


class InvalidSubject(InvalidInput):
    """A subject or pattern is not one that NATS and this project accept."""


class InvalidEvent(InvalidInput):
    """An event's attribute is missing, malformed or of the wrong type."""


class TooLarge(InvalidInput):
    """The event is over the limit in bytes."""


class Filtered(InvalidInput):
    """The operator's allow and block lists keep this subject out."""


class InvalidRoute(InvalidInput):
    """A route's field is missing, unknown or wrong."""


class InvalidSchedule(InvalidInput):
    """A cron job's or timer's field is missing, unknown or wrong."""


class NotAllowed(InvalidInput):
    """An agent asked for something that the operator's settings do not allow it."""


class InvalidBackup(InvalidInput):
    """A file that is to be restored is no backup, is damaged, or holds what no backup of ours holds."""


class Conflict(InvalidInput):
    """Somebody else changed it at the same moment: read it again, then repeat."""


class NotFound(InvalidInput):
    """What the request names does not exist."""


class Poison(OpenClawNatsError):
    """An event that can't be read, or on which a condition or template fails. Trying again can't help."""


class DeliveryError(OpenClawNatsError):
    """A target did not take a dispatch, or it is not known whether it did."""


class RetryLater(DeliveryError):
    """It may work later.

    `retry_after` is what the target asked for, in seconds. `scope` says whom the failure concerns: `gateway` (nothing
    gets through to it), `target` (this session, address or subject), or `delivery` (this dispatch alone). `counts` is
    False when the dispatch was surely not taken and its Gateway is only away: then it is never given up. `rerun` is
    True when a run ended badly and the next try has to be a new run. `way` names the way on which the target may have
    taken it: only there the key is known, so the next try has to go the same way. `gateway_age` is for how long the
    Gateway that refused it has run, in seconds: a run that its process before this one had accepted and not begun is
    refused for good under that key (2026.9).
    """

    def __init__(
        self,
        message: str,
        *,
        scope: str = "target",
        retry_after: float = 0.0,
        counts: bool = True,
        rerun: bool = False,
        way: str = "",
        gateway_age: float | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.way = way
        self.gateway_age = gateway_age
        self.scope = scope
        self.retry_after = retry_after
        self.counts = counts
        self.rerun = rerun


class GiveUp(DeliveryError):
    """It can never work as it stands: the dispatch becomes a dead letter at once."""


class WatchFailed(OpenClawNatsError):
    """A watcher can't see what it watches: why, for health. `retry_after` is in seconds, 0 when nobody asked for it."""

    def __init__(self, message: str, *, retry_after: float = 0.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Unavailable(OpenClawNatsError):
    """JetStream can't take the events now.

    `retry_after` is in seconds; `unknown` says that it may have stored them all the same: repeat with the same id.
    """

    exit_code = 3
    unknown = False

    def __init__(self, message: str, *, retry_after: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class MessageRefused(Unavailable):
    """JetStream answers, and does not take this very message: others may be taken."""


class NoAnswer(Unavailable):
    """JetStream is connected, but did not answer in time."""

    unknown = True


class Mistake(OpenClawNatsError):
    """Something of ours failed on this input: it is no fault of the caller, and repeating it as it is can't help."""


class Unsupported(OpenClawNatsError):
    """The nats-server is too old for it."""


class StreamConflict(OpenClawNatsError):
    """A stream of that name or subject exists and can't be adopted without narrowing it."""


class SettingsError(OpenClawNatsError):
    """A setting has a value that can't be used."""

    exit_code = 2


class NotSetUp(SettingsError):
    """There is no key yet, so that nothing can be asked and nothing can run."""

    exit_code = 3


class SetupError(OpenClawNatsError):
    """A step of setup, start or uninstall failed."""


def words_for(error: BaseException) -> str:
    """What an error of a library or the system says, in words: many say nothing, so that only their class is left."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError) or (isinstance(error, ConnectionError) and not str(error)):
        return "the connection was closed"
    if type(error) in (OSError, ConnectionRefusedError) and "Connect call failed" in str(error):  # asyncio's own words
        numbers = {int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))}
        return ", ".join(os.strerror(number).lower() for number in sorted(numbers)) or "connection refused"
    if isinstance(error, OSError) and error.strerror and type(error).__module__ == "builtins" and not error.filename:
        return error.strerror[:1].lower() + error.strerror[1:]
    text = " ".join(str(error).split())
    if text:
        return text
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(error).__name__)
    return words.strip().removesuffix(" error") + " (no further detail)"
