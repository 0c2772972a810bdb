"""A mailbox: an event for each mail that comes, with its headers and text. Nothing changes there, unless that is asked.

A mail is known by its number (UID) as long as those count (UIDVALIDITY). When the server begins to number again, mails
are told from each other by their Message-ID.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import msgspec

from openclaw_nats.contract.sources import MailOptions
from openclaw_nats.events.envelope import format_seconds
from openclaw_nats.sources.watched import seconds_of
from openclaw_nats.terminal_text import plural
from openclaw_nats.watchers.mail_box import MAX_MAIL, Mail, MailBox
from openclaw_nats.watchers.outbox import Seen
from openclaw_nats.watchers.reading import Reader, Unreadable, reading
from openclaw_nats.watchers.text import digest
from openclaw_nats.watchers.watch import Watch

_VALIDITY, _LAST, _MARKED, _AT = "validity", "last", "marked", "at"
_MAIL = "m:"
_KNOWN = 1000  # mails by their Message-ID
_IDLE_SECONDS = 60.0
_SLACK = 600.0  # seconds between the server's clock and ours
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_HEADERS = 16 << 10

Data = dict[str, str | int | bool | list[dict[str, str | int]]]


async def run(watch: Watch) -> None:
    """Wait for mails, for ever."""
    options = watch.options(MailOptions)
    first = await watch.begin(f"{options.host}\n{options.port}\n{options.user}\n{options.mailbox}")
    box = MailBox(options, watch.secret)
    try:
        await box.open()
        if first:
            last = "0" if options.from_beginning else str(await box.last())
            begin = {_VALIDITY: str(box.validity), _LAST: last, _MARKED: last, _AT: str(time.time())}
            await watch.emit((), begin)
        elif watch.items.get(_VALIDITY) != str(box.validity):
            await _number_again(watch, box)
        while True:
            await _mark(watch, box)
            if uids := await box.newer(int(watch.items[_LAST])):
                async with reading("mail", "the mail") as reader:
                    for uid in uids:
                        await _take(watch, box, reader, uid)
                        await _mark(watch, box)
            watch.well("")
            every = seconds_of(options.every)
            await box.wait(min(_IDLE_SECONDS, every) if box.can_idle else every)
    finally:
        box.close()


async def look(watch: Watch) -> str:
    """How many mails are there."""
    options = watch.options(MailOptions)
    box = MailBox(options, watch.secret)
    try:
        await box.open()
        how = "the server reports new ones" if box.can_idle else f"the server is asked each {options.every}"
        return f"{plural(box.count, 'mail')} in {options.mailbox}; {how}"
    finally:
        box.close()


async def _take(watch: Watch, box: MailBox, reader: Reader, uid: int) -> None:
    """Store the event of one mail, which is remembered with it."""
    changes: dict[str, str | None] = {_LAST: str(uid), _AT: str(time.time())}
    mail = await box.mail(uid)
    if mail is None:  # gone before anybody could read it
        await watch.emit((), changes)
        return
    changes |= _known(watch, mail)
    data = await _data(watch, mail, reader)
    await watch.emit([Seen("received", f"{box.validity}.{uid}", data, changes)])


async def _data(watch: Watch, mail: Mail, reader: Reader) -> Data:
    about: Data = {"mailbox": watch.options(MailOptions).mailbox, "uid": mail.uid, "bytes": mail.size}
    if mail.at:
        about["received"] = format_seconds(mail.at)
    if mail.size > MAX_MAIL:
        about["truncated"] = True
    try:
        return about | msgspec.convert(await reader.read(mail.body), Data)
    except Unreadable as error:  # put aside with its reason: the next one is another
        return about | {"unreadable": str(error)}


async def _number_again(watch: Watch, box: MailBox) -> None:
    """The server has numbered its mails again: what came since the last look, and is not known, is news."""
    since = float(watch.items.get(_AT, "0")) - _SLACK
    day = time.gmtime(max(0.0, since - 86400))  # days are the server's
    written = f"{day.tm_mday}-{_MONTHS[day.tm_mon - 1]}-{day.tm_year}"
    known = {key for key in watch.items if key.startswith(_MAIL)}
    last, new = await box.last(), []
    async for mail in _mails(box, await box.since(written)):
        if mail.at >= since and _item(mail) not in known:
            new.append(mail.uid)
    begin = {_VALIDITY: str(box.validity), _LAST: str(last), _AT: str(time.time())}
    begin[_MARKED] = begin[_LAST]
    events = []
    async with reading("mail", "the mail") as reader:
        async for mail in _mails(box, new):
            data = await _data(watch, mail, reader)
            events.append(Seen("received", f"{box.validity}.{mail.uid}", data, _known(watch, mail)))
    await watch.emit(events, begin)


async def _mails(box: MailBox, uids: list[int]) -> AsyncIterator[Mail]:
    for uid in uids:
        if (mail := await box.mail(uid)) is not None:
            yield mail


async def _mark(watch: Watch, box: MailBox) -> None:
    """Mark what was told as read, if that is asked for; also what a kill has kept us from marking."""
    last, marked = int(watch.items[_LAST]), int(watch.items.get(_MARKED, "0"))
    if watch.options(MailOptions).mark_read and marked < last:
        await box.mark(marked + 1, last)
        await watch.emit((), {_MARKED: str(last)})


def _known(watch: Watch, mail: Mail) -> dict[str, str | None]:
    """What a mail is known by from now on; the oldest of many goes."""
    old = sorted((int(number), key) for key, number in watch.items.items() if key.startswith(_MAIL))
    return {key: None for _, key in old[: max(0, len(old) - _KNOWN)]} | {_item(mail): str(int(time.time() * 1000))}


def _item(mail: Mail) -> str:
    head = mail.body[:_HEADERS].partition(b"\r\n\r\n")[0]
    named = [line for line in head.split(b"\r\n") if line[:11].lower() == b"message-id:"]
    return _MAIL + (digest(named[0][11:].strip()) if named else digest(head))
