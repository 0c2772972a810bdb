"""A circuit breaker: after failures a target gets nothing for a while, then one dispatch as a probe."""

from __future__ import annotations

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
LONGEST_GATEWAY_WAIT = 10.0  # it is ours, and a refused connection costs nothing


class Breaker:
    """Closed: everything may go. Open until `open_until`: nothing. After that half open: one probe decides."""

    def __init__(self, longest_wait: float = LONGEST_WAIT) -> None:
        self._longest = longest_wait
        self.failures = 0
        self.open_until = 0.0
        self.probing = False
        self.last_error = ""
        self._wait = 0.0
        self._given = 0.0

    @property
    def open(self) -> bool:
        """Whether failures have opened it and no success has closed it since."""
        return self.open_until > 0

    def allows(self, now: float) -> bool:
        """Whether a dispatch may go at `now`."""
        return not self.open or (now >= self.open_until and not self.probing)

    def begin(self) -> None:
        """A dispatch goes; half open it is the probe."""
        if self.open:
            self.probing = True

    def succeed(self) -> None:
        """The target works."""
        self.failures, self.open_until, self.probing, self._wait, self.last_error = 0, 0.0, False, 0.0, ""

    def fail(self, now: float, error: str, *, threshold: int, retry_after: float = 0.0) -> None:
        """The target failed. At `threshold` failures in a row it opens; each failed probe doubles the wait."""
        self.failures += 1
        self.probing = False
        self.last_error = error
        if self.failures >= threshold or retry_after:
            self._wait = min(self._longest, self._wait * 2 or FIRST_WAIT)
            self._given = max(self._wait, retry_after)
            self.open_until = now + self._given

    def clock_put_back(self, now: float) -> None:
        """It stays open no longer than it was to be open at all."""
        if self.open:
            self.open_until = min(self.open_until, now + self._given)

    def try_now(self) -> None:
        """Let the next probe go at once: something says that the target is back."""
        if self.open:
            self.open_until = min(self.open_until, 1.0)
            self._wait = 0.0
