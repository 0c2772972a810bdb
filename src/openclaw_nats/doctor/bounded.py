"""Looking at things that may not answer: each check has its time, and one that needs longer is a finding of its own.

A check runs in a thread. One that hangs (a stopped service, a command that waits for a lock) is left behind there; the
thread is a daemon, so that it does not keep the command from ending.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from openclaw_nats.doctor.finding import Finding, problem
from openclaw_nats.errors import OpenClawNatsError

SECONDS = 10.0
_PATIENCE = 1.0

T = TypeVar("T")
Waiting = Callable[[str], None]


@dataclass
class Check:
    """Something to look at: `name` is its findings' name, `what` what is asked (for the operator while it waits)."""

    name: str
    what: str
    look: Callable[[], Iterable[Finding]]
    seconds: float = SECONDS
    fix: str = "Is it stopped (SIGSTOP), or the machine overloaded? `openclaw-nats restart` ends what hangs."
    _found: queue.SimpleQueue[Finding | BaseException | None] = field(default_factory=queue.SimpleQueue)
    _began: float = 0.0

    def start(self) -> None:
        """Begin to look; findings are kept until `findings` is asked for them."""
        if not self._began:
            self._began = time.monotonic()
            threading.Thread(target=self._run, name=f"check {self.name}", daemon=True).start()

    def findings(self, waiting: Waiting) -> Iterator[Finding]:
        """Yield the findings as they come; after `seconds` one that says what did not answer.

        `waiting` is called for each second in which nothing has come.
        """
        self.start()
        deadline = self._began + self.seconds
        while True:
            left = deadline - time.monotonic()
            try:
                found = self._found.get(timeout=max(0.0, min(_PATIENCE, left)))
            except queue.Empty:
                if left <= _PATIENCE:
                    text = f"{self.what} did not answer within {self.seconds:.0f} s"
                    yield problem(self.name, text, self.fix)
                    return
                waiting(self.what)
                continue
            if found is None:
                return
            if isinstance(found, OpenClawNatsError):
                yield problem(self.name, str(found), found.hint or "`openclaw-nats logs` says more.")
                return
            if isinstance(found, OSError):
                where = f"{found.filename}: " if found.filename else ""
                text = f"{where}{found.strerror or found}"
                yield problem(self.name, text, "Who owns it, and is there room? `ls -ld` and `df` show it.")
                return
            if isinstance(found, BaseException):
                raise found
            yield found

    def _run(self) -> None:
        try:
            for finding in self.look():
                self._found.put(finding)
            self._found.put(None)
        except BaseException as error:
            self._found.put(error)


def bounded(call: Callable[[], T], otherwise: T, seconds: float = SECONDS) -> T:
    """What `call` returns; `otherwise` when that takes too long. Its errors are raised."""
    answers: queue.SimpleQueue[tuple[bool, object]] = queue.SimpleQueue()

    def run() -> None:
        try:
            answers.put((True, call()))
        except BaseException as error:
            answers.put((False, error))

    threading.Thread(target=run, name="bounded", daemon=True).start()
    try:
        good, answer = answers.get(timeout=seconds)
    except queue.Empty:
        return otherwise
    if not good:
        raise answer  # type: ignore[misc]
    return answer  # type: ignore[return-value]
