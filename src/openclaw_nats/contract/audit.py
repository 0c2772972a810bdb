"""The audit log: every administrative act."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from openclaw_nats.contract.fields import Answer, Json, Time

AuditStage = Literal["done", "begun", "ended", "failed"]


class AuditRecord(Answer, kw_only=True, omit_defaults=True):
    """One record. `who` did `act` (as the command is called) to `about`; of `before` and `after` only what differs is
    there, without secrets.

    What is not in the database has two records: `stage` `begun`, then `ended` or `failed`, whose `begun` is the number
    of the first. One that was begun and has no end was cut off: look whether it was done.
    """

    number: int
    at: Time
    who: str
    act: str
    about: str = ""
    stage: AuditStage = "done"
    begun: int = 0
    before: Json = None
    after: Json = None
    reason: str = ""
    previous: str
    digest: str | UnsetType = UNSET


class AuditLog(Answer):
    """Records, the newest first. `cursor` leads to the next ones."""

    records: list[AuditRecord]
    cursor: str | None


class AuditState(Answer):
    """Whether the log is complete. `problem` says what is wrong with it; `newest` is the number of the newest record,
    whose `digest` may be kept elsewhere: it holds everything before.
    """

    sound: bool
    problem: str
    records: int
    oldest: int
    newest: int
    digest: str
    bytes: int


class AuditNote(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """An act of a command that does not go through the sidecar, such as `config set`."""

    act: Literal["config.set", "setup", "uninstall", "backup", "restore", "migrate", "key.rotate"]
    about: str = ""
    stage: AuditStage = "done"
    begun: int = 0
    before: Json = None
    after: Json = None
    reason: str = ""


class AuditNoted(Answer):
    """The number of the record."""

    number: int
