"""Putting a backup back: check all of it, build the new state next to the old one, stop, swap, start.

What fails before the swap has touched nothing; what fails after it puts the old state back (swap.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from openclaw_nats.backup import staging
from openclaw_nats.backup.archive import Manifest, unpack
from openclaw_nats.backup.names import STREAMS
from openclaw_nats.backup.swap import Journal, Staging
from openclaw_nats.errors import SetupError, Unavailable
from openclaw_nats.jetstream import snapshot as streams
from openclaw_nats.jetstream.connection import Connection, connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import Settings

Say = Callable[[str, str], None]


class Restore:
    """One restore; its steps in order, within `Staging.open`. `say` gets a line for each thing that is done."""

    def __init__(self, source: Path, home: Path, say: Say) -> None:
        self._source = source
        self._home = home
        self._say = say
        self.staging = Staging(home)
        self._parts = self.staging.folder / "parts"
        self._manifest = Manifest()
        self._made: dict[str, str] = {}
        self._settings: Settings | None = None
        self._nats: Options | None = None
        self._done: Journal | None = None
        self.audit_problem = ""

    def check(self) -> None:
        """Read and check all of it; raise InvalidBackup or SetupError."""
        self._parts.mkdir(mode=0o700)
        self._manifest = unpack(self._source, self._parts)
        staging.check(self._parts)
        made = self._manifest
        self._say("Backup", f"of {made.home}, made {made.made_at} by {made.version}: it is complete")

    def build(self) -> None:
        """Build the new state, as far as that disturbs nobody; raise SetupError or Unavailable."""
        new = self.staging.new
        self._settings = staging.settle(self._parts, new, self._home, self._manifest)
        if self._settings.nats.managed:
            for text in staging.build_own(self._parts, new, self._settings, self._manifest):
                self._say("Stream", text)
        else:
            self._nats = Options.from_settings(self._settings)
            _run(self._nats, self._refuse_existing)

    def replace(self) -> Path | None:
        """The service is stopped: put the new state in place; where the former one is now, None without one."""
        if self._nats is not None:
            self._restore_elsewhere(self._nats)
        try:
            if withdrawn := staging.withdraw_approvals(self.staging.new):
                self._say("Approvals", f"{withdrawn} that had not been used when the backup was made are withdrawn")
            self.audit_problem = staging.keep_audit_log(self._home, self.staging.new)
            self._done = self.staging.swap()
        except BaseException:
            self._remove_made()
            raise
        self._say("State", "put in place")
        return Path(self._done.out_to) if self._done.out_names else None

    @property
    def what(self) -> dict[str, str]:
        """Which backup it is."""
        made = self._manifest
        return {"madeAt": made.made_at, "home": made.home, "gateway": made.gateway, "version": made.version}

    @property
    def replaced(self) -> bool:
        """Whether the new state is in place."""
        return self._done is not None

    def undo(self) -> None:
        """The new state does not run, and is stopped: put the old one back."""
        if self._done is not None:
            self.staging.swap(undo=self._done)
            self._done = None
            self._remove_made()

    async def _refuse_existing(self, connection: Connection) -> None:
        if taken := await streams.existing(connection, [one for one in STREAMS if one in self._manifest.streams]):
            raise SetupError(
                f"this NATS has {' and '.join(taken)} already, which a backup does not replace",
                hint="If nobody needs them, remove them there (`nats stream rm <name>`), then run this again.",
            )

    def _restore_elsewhere(self, nats: Options) -> None:
        self._made = _Noted(self.staging.note)

        async def work(connection: Connection) -> None:
            await self._refuse_existing(connection)
            for text in await staging.restore_streams(connection, self._parts, self._manifest, self._made):
                self._say("Stream", text)

        try:
            _run(nats, work)
            staging.follow_events(self.staging.new, self._manifest, self._made)
        except BaseException:
            self._remove_made()
            raise

    def _remove_made(self) -> None:
        if self._made and self._nats is not None:
            _remove(self._nats, dict(self._made))
            self._made.clear()


class _Noted(dict[str, str]):
    """By what the streams can be known that are made in a NATS which is not ours, also on disk: a restore that is
    killed leaves them.
    """

    def __init__(self, note: Path) -> None:
        super().__init__()
        self._note = note

    def __setitem__(self, stream: str, created: str) -> None:
        super().__setitem__(stream, created)
        write_private(self._note, json.dumps(self))


def remove_noted(note: Path) -> None:
    """Remove the streams that a restore had made before it was killed; raise SetupError when NATS can't be asked."""
    found = json.loads(note.read_text())
    try:
        new = note.parent / "new"
        _remove(Options.from_settings(staging.settings_in(new, note.parent.parent)), found)
    except Unavailable as error:
        raise SetupError(
            f"a restore was interrupted that had made {' and '.join(found)} in NATS, which can't be asked now: {error}",
            hint="Start NATS, then repeat this.",
        ) from error


def _remove(nats: Options, made: dict[str, str]) -> None:
    """Remove streams that were made by a restore, unless they are others by now."""
    _run(nats, lambda connection: streams.remove(connection, made))


def _run(nats: Options, work: Callable[[Connection], Awaitable[None]]) -> None:
    async def connect_and_work() -> None:
        async with connected(nats, staging.SECONDS) as connection:
            await work(connection)

    asyncio.run(connect_and_work())
