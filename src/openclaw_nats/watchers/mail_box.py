"""A mailbox at an IMAP server, in a thread of its own: every answer is bounded, and every step may be cut off."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import imap_tools

from openclaw_nats.contract.sources import MailOptions
from openclaw_nats.errors import WatchFailed, words_for
from openclaw_nats.watchers.text import shortened

T = TypeVar("T")
MAX_MAIL = 10 << 20  # bytes of a mail that are read
_MAX_STEP = 24 << 20  # bytes of all answers to one step
_STEP_SECONDS = 90.0
_SOCKET_SECONDS = 30.0
# imaplib refuses lines of over a megabyte, and has no other way to say otherwise: a large mailbox's UIDs are one line.
# What is read in a step is bounded below, line or not (_Bounded).
imaplib._MAXLINE = _MAX_STEP  # type: ignore[attr-defined]
_MOST_MAILS = 100_000
_NOOP_SECONDS = 600.0  # a server may sign out who is silent for half an hour (RFC 3501)
_LARGEST_UID = 2**32 - 1
_UID = re.compile(rb"\bUID (\d{1,10})\b")
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,15})\b")


@dataclass(frozen=True)
class Mail:
    """One as the server has it: `body` is its beginning when it is longer than MAX_MAIL; `at` is Unix seconds."""

    uid: int
    size: int
    at: float
    body: bytes


class _Bounded:
    """What an answer may be at most."""

    left = _MAX_STEP

    def read(self, size: int) -> bytes:
        self._spend(size)
        found: bytes = super().read(size)  # type: ignore[misc]
        return found

    def readline(self) -> bytes:
        found: bytes = super().readline()  # type: ignore[misc]
        self._spend(len(found))
        return found

    def _spend(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise imaplib.IMAP4.abort("it answers with more than it may")


class _Plain(_Bounded, imaplib.IMAP4):
    pass


class _Secure(_Bounded, imaplib.IMAP4_SSL):
    pass


class _Box(imap_tools.BaseMailBox):
    """A connection, signed in nowhere yet."""

    def __init__(self, options: MailOptions) -> None:
        self._options = options
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        options = self._options
        if options.tls == "imaps":
            context = ssl.create_default_context()
            return _Secure(options.host, options.port, ssl_context=context, timeout=_SOCKET_SECONDS)
        client = _Plain(options.host, options.port, timeout=_SOCKET_SECONDS)
        if options.tls == "starttls":
            client.starttls(ssl.create_default_context())
        return client


class MailBox:
    """The mailbox; `open` first. Every method raises WatchFailed."""

    def __init__(self, options: MailOptions, password: str) -> None:
        self._options = options
        self._password = password
        self._thread = ThreadPoolExecutor(1, "mailbox")
        self._box: _Box | None = None
        self.validity = 0  # by which UIDs count
        self.count = 0  # mails that were there when it was opened
        self.can_idle = False

    async def open(self) -> None:
        """Connect, sign in, select; read-only unless mails are to be marked."""
        await self._step(self._open)

    async def newer(self, uid: int) -> list[int]:
        """The UIDs above one, ascending."""
        return await self._step(lambda: self._search(f"UID {uid + 1}:*", uid))

    async def last(self) -> int:
        """The highest UID; 0 in an empty mailbox."""
        return max(await self._step(lambda: self._search("UID *", 0)), default=0)

    async def since(self, day: str) -> list[int]:
        """The UIDs of what came on a day (27-Nov-2026) or later."""
        return await self._step(lambda: self._search(f"SINCE {day}", 0))

    async def mail(self, uid: int) -> Mail | None:
        """One of them, which stays as unread as it is; None when it is gone."""
        return await self._step(lambda: self._fetch(uid))

    async def mark(self, first: int, last: int) -> None:
        """They were read."""
        await self._step(lambda: self._check(self._client.uid("STORE", f"{first}:{last}", "+FLAGS.SILENT", r"(\Seen)")))

    async def wait(self, seconds: float) -> None:
        """Until something comes, or so long at most."""
        if self.can_idle:
            await self._step(lambda: self._idle(seconds), seconds)
            return
        while seconds > 0:
            await asyncio.sleep(min(seconds, _NOOP_SECONDS))
            seconds -= _NOOP_SECONDS
            await self._step(lambda: self._check(self._client.noop()))

    def close(self) -> None:
        """End the connection, whatever the thread does."""
        if self._box is not None:
            with contextlib.suppress(OSError):
                self._box.client.sock.shutdown(socket.SHUT_RDWR)
            self._thread.submit(self._release)  # behind whatever it does now, which has failed
        self._thread.shutdown(wait=False)

    @property
    def _client(self) -> Any:
        if self._box is None:
            raise WatchFailed("the mailbox is not open")
        return self._box.client

    async def _step(self, work: Callable[[], T], more: float = 0.0) -> T:
        try:
            async with asyncio.timeout(_STEP_SECONDS + more):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._bounded, work)
        except TimeoutError:
            raise WatchFailed(f"{self._options.host} does not answer") from None

    def _bounded(self, work: Callable[[], T]) -> T:
        if self._box is not None:
            self._client.left = _MAX_STEP
        try:
            return work()
        except imap_tools.MailboxLoginError:
            raise WatchFailed(f"{self._options.host} does not accept user and password") from None
        except imap_tools.MailboxFolderSelectError:
            raise WatchFailed(f"{self._options.host} has no mailbox {self._options.mailbox!r}") from None
        except (imaplib.IMAP4.error, imap_tools.ImapToolsError, OSError, EOFError, ValueError) as error:
            said = shortened(words_for(error), 200)
            raise WatchFailed(f"{self._options.host} can't be asked: {said}") from None
        except WatchFailed:
            raise
        except Exception as error:  # whatever a library makes of an answer that is none
            said = shortened(words_for(error), 200)
            text = f"what {self._options.host} answers can't be read: {type(error).__name__}: {said}"
            raise WatchFailed(text) from None

    def _open(self) -> None:
        self._box = box = _Box(self._options)
        box.login(self._options.user, self._password, initial_folder=None)
        _, said = box.folder.set(self._options.mailbox, readonly=not self._options.mark_read)
        self.count = int(said[0] or 0)
        self.validity = _number(box.client.response("UIDVALIDITY")[1])
        _, able = box.client.capability()
        self.can_idle = b"IDLE" in (able[0] or b"").upper().split()

    def _release(self) -> None:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            self._client.shutdown()

    def _search(self, criteria: str, above: int) -> list[int]:
        _, said = self._check(self._client.uid("SEARCH", criteria))
        found = {int(one) for one in b" ".join(one for one in said if one).split() if one.isdigit() and len(one) <= 10}
        return sorted(one for one in found if above < one <= _LARGEST_UID)[:_MOST_MAILS]

    def _fetch(self, uid: int) -> Mail | None:
        _, said = self._check(
            self._client.uid("FETCH", str(uid), f"(UID RFC822.SIZE INTERNALDATE BODY.PEEK[]<0.{MAX_MAIL}>)")
        )
        for at, one in enumerate(said):
            if not isinstance(one, tuple):
                continue
            after = said[at + 1] if at + 1 < len(said) and isinstance(said[at + 1], bytes) else b""
            about = one[0] + b" " + after
            number, size = _UID.search(about), _SIZE.search(about)
            if number is not None and int(number[1]) == uid:
                when = imaplib.Internaldate2tuple(about)
                moment = _seconds(when) if when is not None else 0.0
                return Mail(uid, int(size[1]) if size else len(one[1]), moment, one[1])
        return None

    def _idle(self, seconds: float) -> None:
        assert self._box is not None  # noqa: S101
        self._box.idle.wait(timeout=seconds)

    def _check(self, answer: tuple[str, list[Any]]) -> tuple[str, list[Any]]:
        if answer[0] != "OK":
            raise WatchFailed(f"{self._options.host} refuses: {shortened(str(answer[1]), 150)}")
        return answer


def _number(said: list[Any]) -> int:
    last = said[-1] if said else None
    if not isinstance(last, bytes) or not last.isdigit() or len(last) > 10:
        raise ValueError("it does not say by which numbers its mails go (UIDVALIDITY)")
    return int(last)


def _seconds(when: Any) -> float:
    try:
        return time.mktime(when)
    except (OverflowError, ValueError):
        return 0.0
