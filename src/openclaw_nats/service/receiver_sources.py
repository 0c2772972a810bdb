"""The sources of a receiver: in a state folder of its own, made to be as its file says."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from openclaw_nats.audit.trail import Untraced
from openclaw_nats.contract.receiver import ReceiverSource, ReceiverSources
from openclaw_nats.contract.sources import RotateRequest, SourceChange
from openclaw_nats.errors import SettingsError
from openclaw_nats.service.audit_files import trail_in
from openclaw_nats.service.files import write_private
from openclaw_nats.service.receiver_file import Receiver, WantedSource
from openclaw_nats.sources.book import SourceBook
from openclaw_nats.sources.schemes.catalog import SCHEMES
from openclaw_nats.storage import source_deliveries as rows
from openclaw_nats.storage.database import Database

_AUDIT_BYTES = 16 << 20


class RunsAlready(SettingsError):
    """Another process has the state folder."""


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """One process a state folder; raise RunsAlready while another one has it."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunsAlready(f"a receiver runs already on {state}", hint="Give this one another `state`.") from None
        yield


class Sources:
    """The sources of a state folder, made to be as the file says. Addresses are made once and kept."""

    def __init__(self, state: Path) -> None:
        self.database = Database(state / "receiver.db")
        trail = trail_in(state, self.database, _AUDIT_BYTES)
        self.book = SourceBook(state / "sources.json", write_private, trail)
        if self.book.problem:
            raise SettingsError(self.book.problem)

    async def apply(self, wanted: tuple[WantedSource, ...], keep: float) -> None:
        """Make them as they are wanted; one that is not among them is removed, and its address ends.

        Secrets that were replaced, now or before, count for at most `keep` seconds from now on.
        """
        names = {one.request.name for one in wanted}
        types = {one.name: one.type for one in self.book.every()}
        for one in wanted:
            if types.get(one.request.name, one.request.type) != one.request.type:
                text = f"the source {one.request.name} is of type {types[one.request.name]}, which can't be changed"
                raise SettingsError(text, hint="Take it out of the file, apply that, and put it in as another one.")
        for name in sorted(types.keys() - names):
            await self.book.remove(name)
            await self.database.write(partial(rows.forget_source, source=name))
        for one in wanted:
            if one.request.name not in types:
                await self.book.add(one.request)
            await self._make(one, keep)

    async def _make(self, wanted: WantedSource, keep: float) -> None:
        name = wanted.request.name
        there = self.book.named(name)
        if there.secrets[0].secret != wanted.request.secret:
            await self.book.rotate(name, RotateRequest(secret=wanted.request.secret, keep=keep))
        await self.book.end_replaced(name, keep)
        if (there.subject, there.options, there.paused) != (wanted.subject, wanted.options, wanted.paused):
            change = SourceChange(subject=wanted.subject, options=wanted.options, paused=wanted.paused)
            await self.book.change(name, change)


def shown(receiver: Receiver, book: SourceBook) -> ReceiverSources:
    """The addresses, as providers need them."""
    return ReceiverSources(
        [
            ReceiverSource(
                one.name,
                one.type,
                f"{receiver.address}/in/{one.name}/{one.token}",
                one.subject,
                SCHEMES[one.type].paste,
            )
            for one in book.every()
        ]
    )


async def addresses(receiver: Receiver) -> ReceiverSources:
    """The addresses of the file's sources, made where there are none yet. One that runs already keeps its own."""
    try:
        with alone(receiver.state):
            sources = Sources(receiver.state)
            try:
                await sources.apply(receiver.sources, receiver.keep_replaced)
                return shown(receiver, sources.book)
            finally:
                sources.database.close()
    except RunsAlready:
        if not (receiver.state / "sources.json").is_file():
            raise
    return shown(receiver, SourceBook(receiver.state / "sources.json", write_private, Untraced()))
