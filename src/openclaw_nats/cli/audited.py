"""Acts of commands that do not go through the sidecar: it writes them into the audit log, or we do while it is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from openclaw_nats.cli.output import step
from openclaw_nats.errors import OpenClawNatsError

if TYPE_CHECKING:
    from openclaw_nats.audit.act import Act

_SECONDS = 5.0


@contextmanager
def audited(what: str, about: str = "", before: object = None, after: object = None) -> Iterator[Act]:
    """Around an act: a record before it, and one after it that says how it ended; `after` may be set meanwhile."""
    from openclaw_nats.audit.act import Act

    act = Act(what, about, before, after)
    number = record(replace(act, stage="begun"))
    try:
        yield act
    except BaseException as error:
        record(replace(act, after=None, stage="failed", begun=number, reason=str(error) or type(error).__name__))
        raise
    record(replace(act, stage="ended", begun=number))


def record(act: Act, *, stopped: bool = False) -> int:
    """Write one record; its number, 0 when there is no log yet. `stopped`: nothing of this installation runs.

    What can't be written down is said, and done anyway: it may be what makes the log work again.
    """
    from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarDown, SidecarRefusal
    from openclaw_nats.settings import load

    settings = load()
    if not (settings.home / "sidecar.db").exists():
        return 0
    before, after = act.shown()
    body = {
        "act": act.what,
        "about": act.about,
        "stage": act.stage,
        "begun": act.begun,
        "before": before,
        "after": after,
        "reason": act.reason,
    }
    try:
        if stopped:
            return _record_now(act)
        try:
            settings.api_key()
            return int(SidecarClient(settings).call("POST", "/api/audit", body, timeout=_SECONDS)["number"])
        except SidecarRefusal as refusal:
            if refusal.status == 404:  # a sidecar of an older version, which has no log
                return 0
            return _record_now(act)
        except (SidecarDown, OpenClawNatsError):
            return _record_now(act)
    except OpenClawNatsError as error:
        step("!", f"not in the audit log: {act.what} {act.about}".rstrip(), str(error), err=True)
        return 0


def _record_now(act: Act) -> int:
    from openclaw_nats.audit.acting import COMMAND_LINE
    from openclaw_nats.service import logs
    from openclaw_nats.service.audit_files import audit_trail
    from openclaw_nats.settings import load
    from openclaw_nats.storage.database import Database

    logs.silence()
    settings = load()
    database = Database(settings.home / "sidecar.db")
    try:
        return audit_trail(settings, database).note_now(act, COMMAND_LINE)
    finally:
        database.close()
