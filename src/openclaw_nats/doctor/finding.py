"""What a check has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openclaw_nats.contract.command_line import DoctorFinding

OK, NOTE, PROBLEM = "ok", "note", "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `fix` is what the operator should do; `repair` does it, where that is safe."""

    check: str
    state: str
    text: str
    fix: str = ""
    repair: Callable[[], None] | None = None

    def document(self) -> DoctorFinding:
        """For machines."""
        return DoctorFinding(self.check, self.state, self.text, self.fix, self.repair is not None)


def ok(check: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(check, OK, text)


def note(check: str, text: str, fix: str = "") -> Finding:
    """Worth knowing; it does not stop anything."""
    return Finding(check, NOTE, text, fix)


def problem(check: str, text: str, fix: str, repair: Callable[[], None] | None = None) -> Finding:
    """It stops something, or will."""
    return Finding(check, PROBLEM, text, fix, repair)
