"""A mail server that answers whatever it likes: each step has an end, and no other error than the declared one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openclaw_nats.contract.sources import MailOptions
from openclaw_nats.errors import WatchFailed
from openclaw_nats.watchers import mail_box
from openclaw_nats.watchers.mail_box import MailBox

PIECES = [
    b"* CAPABILITY IMAP4rev1 IDLE",
    b"* 3 EXISTS",
    b"* x EXISTS",
    b"* -1 EXISTS",
    b"* " + b"9" * 5000 + b" EXISTS",
    b"* OK [UIDVALIDITY 7] numbers",
    b"* OK [UIDVALIDITY -7] numbers",
    b"* OK [UIDVALIDITY",
    b"* SEARCH 1 2 3",
    b"* SEARCH " + b"9" * 5000,
    b"* SEARCH {3}\r\nabc",
    b"* SEARCH",
    b'* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE "27-Nov-2026 10:00:00 +0100" BODY[] {5}\r\nhello)',
    b'* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE "99-Xyz-0000 99:99:99 +9999" BODY[] {5}\r\nhello)',
    b'* 1 FETCH (UID 1 INTERNALDATE "31-Feb-9999 25:61:61 -0000" BODY[] {2}\r\nhi UID 1)',
    b"* 1 FETCH (BODY[] {5}\r\nhello UID 1 RFC822.SIZE 999999999999999)",
    b"* 1 FETCH {99999999}",
    b"* 1 FETCH",
    b"* FLAGS {2}\r\nab",
    b"* BYE",
    b"* PREAUTH",
    b"+ idling",
    b"+",
    b"*",
    b"",
    b"\0\xff\xfe",
    b"* OK " + b"x" * 2000,
    b"* LIST () {1}\r\n/ {1}\r\nx",
]
ENDS = [b"OK done", b"OK", b"NO no", b"BAD bad", b"OK [READ-ONLY] x", b"OK [UIDVALIDITY 7] x", b"XX", b"", b"\xff"]


PROPER = {
    b"CAPABILITY": b"* CAPABILITY IMAP4rev1 IDLE",
    b"SELECT": b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] numbers",
    b"SEARCH": b"* SEARCH 1 2 3",
    b"FETCH": b'* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE "27-Nov-2026 10:00:00 +0100" BODY[] {5}\r\nhello)',
}


@dataclass(frozen=True)
class Plan:
    """What is answered to the command number `turn`, and to some of those behind it; the others get what is proper."""

    turn: int
    pieces: list[bytes]
    tag: bytes | None
    end: bytes
    again: float = 0.0
    goes: bool = False


class Hostile(socketserver.StreamRequestHandler):
    """Answers as the test plans it."""

    timeout = 5
    plan: Plan

    def handle(self) -> None:
        plan, dice = self.plan, random.Random(0)
        with contextlib.suppress(OSError):
            self.wfile.write(b"* OK ready\r\n")
            for at, line in enumerate(iter(self.rfile.readline, b"")):
                tag, _, command = line.strip().partition(b" ")
                if at == plan.turn or (at > plan.turn and dice.random() < plan.again):
                    tag = tag if plan.tag is None else plan.tag
                    self.wfile.write(b"\r\n".join([*plan.pieces, tag + b" " + plan.end + b"\r\n"]))
                    if plan.goes:
                        return
                    continue
                name = next((one for one in PROPER if one in command.upper()), b"")
                self.wfile.write(PROPER.get(name, b"* OK noted") + b"\r\n" + tag + b" OK done\r\n")


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hostile) as one:
        one.daemon_threads = True
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one.server_address[1]
        one.shutdown()


async def session(port: int) -> int:
    """All that a watcher asks; how many steps were answered."""
    box = MailBox(MailOptions(host="127.0.0.1", port=port, user="me", tls="none", mark_read=True), "secret")
    answered = 0
    try:
        await box.open()
        for step in (box.last, lambda: box.newer(0), lambda: box.since("27-Nov-2026"), lambda: box.mail(1)):
            with contextlib.suppress(WatchFailed):
                found = await step()
                answered += 1
                assert found is None or isinstance(found, int | list | mail_box.Mail)
        with contextlib.suppress(WatchFailed):
            await box.mark(1, 1)
        with contextlib.suppress(WatchFailed):
            await box.wait(0.01)
    except WatchFailed as error:
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        box.close()
    return answered


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_box, "_SOCKET_SECONDS", 0.5)


@pytest.mark.parametrize("turn", range(9))
def test_any_line_in_any_answer_is_read_or_a_failure(server: int, turn: int) -> None:
    answered = []
    for piece in PIECES:
        Hostile.plan = Plan(turn, [piece], None, b"OK done")
        answered.append(asyncio.run(session(server)))
    assert max(answered) >= 3  # the server is one that can be talked to


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan=st.builds(
        Plan,
        turn=st.integers(0, 9),
        pieces=st.lists(st.sampled_from(PIECES) | st.binary(max_size=40), max_size=4),
        tag=st.sampled_from([None, None, b"Z9", b""]),
        end=st.sampled_from(ENDS),
        again=st.sampled_from([0.0, 0.3, 1.0]),
        goes=st.booleans(),
    )
)
def test_whatever_a_server_answers_it_is_read_or_a_failure(server: int, plan: Plan) -> None:
    Hostile.plan = plan
    began = time.monotonic()
    asyncio.run(session(server))
    assert time.monotonic() - began < 30
