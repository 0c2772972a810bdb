"""Group commit: everything that waits at the same moment shares one durable append.

With fsync on every acknowledgement an append costs the same for one message as for a thousand, so concurrent requests
are gathered while one append is under way. One append at a time keeps the order in which requests came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from openclaw_nats.errors import InvalidInput, Mistake, Unavailable
from openclaw_nats.events.messages import Message, Stored
from openclaw_nats.ports import EventLog

log = structlog.get_logger(__name__)

MAX_GROUP = 1000
MAX_GROUP_BYTES = 8 * 1024 * 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024

Result = Stored | InvalidInput | Mistake


@dataclass(slots=True, eq=False)
class _Submission:
    """The messages of one caller that are new; `done` resolves to one result each."""

    messages: list[Message]
    done: asyncio.Future[list[Result]]
    results: list[Result] = field(default_factory=list)
    taken: int = 0


class GroupCommitPublisher:
    """Publishes through an EventLog; `run` must be running for `publish` to return."""

    def __init__(self, log: EventLog, on_group: Callable[[int], None] = lambda size: None) -> None:
        self._log = log
        self._on_group = on_group
        self._queue: deque[_Submission] = deque()
        self._in_flight: dict[str, tuple[_Submission, int]] = {}
        self._waiting_bytes = 0
        self._wake = asyncio.Event()

    async def publish(self, messages: Sequence[Message]) -> list[Result]:
        """Store the messages and return one result each, in their order, after the log's acknowledgement.

        An id that is already under way (also twice in one call) is stored once and reported as a duplicate. Raises
        Unavailable when the log can't take them; repeat with the same ids. If the caller is cancelled the messages
        are stored all the same.
        """
        size = sum(len(message.body) for message in messages)
        if self._waiting_bytes + size > MAX_WAITING_BYTES:
            raise Unavailable("more events are waiting for JetStream than there is memory for", retry_after=2)
        submission = _Submission([], asyncio.get_running_loop().create_future())
        submission.done.add_done_callback(_retrieve)
        places = [self._place(message, submission) for message in messages]
        if submission.messages:
            self._waiting_bytes += size
            submission.done.add_done_callback(lambda _: self._release(size))
            self._queue.append(submission)
            self._wake.set()
        results: list[Result] = []
        for owner, index, fresh in places:
            result = (await asyncio.shield(owner.done))[index]
            results.append(result if fresh or not isinstance(result, Stored) else Stored(result.sequence, True))
        return results

    async def run(self) -> None:
        """Append group after group until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._append_group()

    def _place(self, message: Message, submission: _Submission) -> tuple[_Submission, int, bool]:
        if (known := self._in_flight.get(message.id)) is not None:
            return (*known, False)
        place = (submission, len(submission.messages))
        self._in_flight[message.id] = place
        submission.messages.append(message)
        return (*place, True)

    def _release(self, size: int) -> None:
        self._waiting_bytes -= size

    def _take_group(self) -> tuple[list[Message], list[tuple[_Submission, int]]]:
        messages: list[Message] = []
        parts: list[tuple[_Submission, int]] = []
        size = 0
        for submission in self._queue:
            begin = submission.taken
            while submission.taken < len(submission.messages) and len(messages) < MAX_GROUP:
                message = submission.messages[submission.taken]
                if messages and size + len(message.body) > MAX_GROUP_BYTES:
                    break
                size += len(message.body)
                messages.append(message)
                submission.taken += 1
            if submission.taken > begin:
                parts.append((submission, submission.taken - begin))
            if submission.taken < len(submission.messages):
                break
        return messages, parts

    async def _append_group(self) -> None:
        messages, parts = self._take_group()
        self._on_group(len(messages))
        try:
            results = await self._append(messages)
        except Exception as error:
            # Whatever it is, the callers must hear of it: an unanswered one would wait for ever.
            failure = error if isinstance(error, Unavailable | Mistake) else Mistake(f"storing failed: {error!r}")
            for submission, _ in parts:
                self._finish(submission, failure)
            return
        at = 0
        for submission, count in parts:
            submission.results += results[at : at + count]
            at += count
            if len(submission.results) == len(submission.messages):
                self._finish(submission, None)

    async def _append(self, messages: list[Message]) -> list[Result]:
        """Append a group. When that fails for a reason of our own, its messages go alone: one does not cost the rest.

        When all of them fail, it is not for one of them: raises Mistake.
        """
        try:
            return list(await self._log.append(messages))
        except Unavailable:
            raise
        except Exception as error:
            log.error("publisher.bug", messages=len(messages), error=repr(error), exc_info=True)
            if len(messages) == 1:
                raise Mistake(f"storing failed: {error!r}") from error
        results: list[Result] = []
        for message in messages:
            try:
                results += await self._log.append([message])
            except Unavailable:
                raise
            except Exception as error:
                results.append(Mistake(f"storing failed: {error!r}"))
        if all(isinstance(result, Mistake) for result in results):
            raise Mistake(str(results[0]))
        return results

    def _finish(self, submission: _Submission, failure: Unavailable | Mistake | None) -> None:
        self._queue.remove(submission)
        for message in submission.messages:
            del self._in_flight[message.id]
        if failure is None:
            submission.done.set_result(submission.results)
        else:
            submission.done.set_exception(failure)


def _retrieve(future: asyncio.Future[list[Result]]) -> None:
    if not future.cancelled():
        future.exception()  # marks it as seen: the caller may be gone
