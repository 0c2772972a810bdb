"""A setup that does not finish leaves nothing behind: what it did is undone, and reported."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from openclaw_nats.cli.output import step, waiting

if TYPE_CHECKING:
    from openclaw_nats.installer.openclaw import OpenClaw
    from openclaw_nats.installer.undo import Before
    from openclaw_nats.locations import Locations

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_UNDOING = "undoing what was done; OpenClaw's own commands take some seconds"


class Ended(BaseException):
    """Somebody ends this process by a signal: as Ctrl-C, but click would take a KeyboardInterrupt for just that."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


@contextlib.contextmanager
def undone_on_failure(
    where: Locations, openclaw: OpenClaw, service: Any, noted: str, *, running: bool
) -> Iterator[None]:
    """Around everything that setup changes: whatever ends the body early, all of it is undone before that goes on."""
    from openclaw_nats.installer import undo

    with _handling(_raise, _ENDING):
        kept = undo.begin(where, openclaw, service, noted, running=running)
        with kept:
            try:
                yield
            except BaseException:
                with _handling(signal.SIG_IGN, (signal.SIGINT, *_ENDING)):
                    if (before := undo.read(where)) is not None:
                        step("!", "Setup", "it did not finish: undoing what it did", err=True)
                        undo_now(where, before, openclaw)
                raise


def undo_left_behind(where: Locations, openclaw: OpenClaw | None) -> bool:
    """Undo what a setup that was killed has left; whether there was anything."""
    from openclaw_nats.installer import undo

    before = undo.left_behind(where)
    if before is None:
        return False
    step("!", "Setup", f"an earlier one (process {before.pid}) was interrupted: undoing what it did first", err=True)
    undo_now(where, before, openclaw, last_try=True)
    return True


def undo_now(where: Locations, before: Before, openclaw: OpenClaw | None, *, last_try: bool = False) -> None:
    """Undo, and tell what was done and what could not be, on stderr."""
    from openclaw_nats.installer.take_back import take_back

    with waiting(_UNDOING):
        report = take_back(where, before, openclaw, last_try=last_try)
    for text in report.done:
        step("✓", text, err=True)
    for text in report.failed:
        step("✗", f"not undone: {text}", err=True)
    if report.failed and not last_try:
        step("!", "the next `openclaw-nats setup` or `uninstall` tries again to undo that", err=True)
    if not report.done and not report.failed:
        step("✓", "nothing had been changed", err=True)


def _raise(number: int, _: FrameType | None) -> None:
    raise Ended(number)


@contextlib.contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers, numbers: Any) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
