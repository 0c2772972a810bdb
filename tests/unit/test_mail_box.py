"""A mailbox with very many mails, at a server that reports none by itself. (A real server: test_watch_mail.py.)"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator

import pytest

from openclaw_nats.contract.sources import MailOptions
from openclaw_nats.watchers import mail_box
from openclaw_nats.watchers.mail_box import MailBox

COUNT = 150_000


class Session(socketserver.StreamRequestHandler):
    """As RFC 3501 has it, for what a watcher asks."""

    commands: list[str]

    def handle(self) -> None:
        self._say("* OK ready")
        while line := self.rfile.readline().decode().strip():
            tag, _, command = line.partition(" ")
            self.commands.append(command)
            for said in self._answers(command.upper()):
                self._say(said)
            self._say(f"{tag} OK done")

    def _answers(self, command: str) -> Iterator[str]:
        if command.startswith("CAPABILITY"):
            yield "* CAPABILITY IMAP4rev1"
        elif command.startswith(("SELECT", "EXAMINE")):
            yield f"* {COUNT} EXISTS"
            yield "* OK [UIDVALIDITY 7] numbers"
        elif command.startswith("UID SEARCH"):
            first = command.rpartition(" ")[2].strip("()").partition(":")[0]
            begin = COUNT if first == "*" else min(int(first), COUNT)
            yield "* SEARCH " + " ".join(str(one) for one in range(begin, COUNT + 1))

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    """Its port, and what it was asked."""
    commands: list[str] = []
    handler = type("Session", (Session,), {"commands": commands})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as one:
        one.daemon_threads = True
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one.server_address[1], commands
        one.shutdown()


def box_at(port: int) -> MailBox:
    return MailBox(MailOptions(host="127.0.0.1", port=port, user="me", tls="none"), "secret")


async def test_a_large_mailbox_is_looked_at_from_its_end(server: tuple[int, list[str]]) -> None:
    box = box_at(server[0])
    try:
        await box.open()
        assert (box.count, await box.last(), box.can_idle) == (COUNT, COUNT, False)
        assert await box.newer(COUNT - 2) == [COUNT - 1, COUNT]
        assert await box.newer(COUNT) == []
        everything = await box.newer(0)  # a line of a megabyte; of very many the oldest come first
        assert (everything[0], len(everything)) == (1, 100_000)
        assert (await box.newer(100_000))[-1] == COUNT
    finally:
        box.close()


async def test_a_server_that_does_not_report_is_asked_when_its_time_has_come_and_kept_awake(
    server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_box, "_NOOP_SECONDS", 0.1)
    port, commands = server
    box = box_at(port)
    try:
        await box.open()
        await box.wait(0.35)
        assert commands.count("NOOP") == 4
    finally:
        box.close()
