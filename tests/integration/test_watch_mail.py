"""A watched mailbox at a real server: each mail is one event and stays unread, whatever it holds, whoever is killed."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.support.dovecot import PASSWORD, USER, Dovecot, mail
from tests.support.processes import NatsServer, Sidecar, kill_and_restart
from tests.support.watching import awaited, runs, stored


@pytest.fixture
def server() -> Iterator[Dovecot]:
    one = Dovecot()
    one.start()
    yield one
    one.close()


@pytest.fixture
def trusting(tmp_path: Path, nats: NatsServer, server: Dovecot) -> Iterator[Sidecar]:
    """A sidecar on a machine that trusts the server's authority."""
    one = Sidecar(tmp_path / "state", nats)
    one.environment["SSL_CERT_FILE"] = str(server.ca)
    one.start()
    yield one
    one.close()


def made(sidecar: Sidecar, server: Dovecot, name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    secret = more.pop("secret", PASSWORD)
    options = {"host": "127.0.0.1", "port": server.tls_port, "user": USER, "every": "5s", **more}
    body = {"name": name, "type": "mail", "secret": secret, "options": {"mail": options}}
    status, answer = sidecar.call("POST", "/api/sources", body)
    assert status == 201, answer
    return runs(sidecar, name, state)


def subjects(sidecar: Sidecar, name: str) -> list[str]:
    return [one["data"].get("subject", "") for one in stored(sidecar, name)]


def test_a_mail_is_an_event_at_once_and_nothing_in_the_mailbox_changes(trusting: Sidecar, server: Dovecot) -> None:
    server.deliver(mail("old"))
    made(trusting, server, "inbox", every="5m")
    whole = EmailMessage()
    whole["From"], whole["To"], whole["Subject"] = "Ánn <ann@example.org>", USER, "Grüße 🙂"
    whole["Message-ID"] = "<new@example.org>"
    whole.set_content("The text.\n\n\n\nIts end.")
    whole.add_alternative("<p>The <b>HTML</b></p>", subtype="html")
    whole.add_attachment(
        b"%PDF" + b"x" * 50_000, maintype="application", subtype="pdf", filename="bill\nof.pdf"[:4] + ".pdf"
    )
    began = time.monotonic()
    server.deliver(whole.as_bytes())
    (event,) = awaited(trusting, "inbox", 1)
    assert time.monotonic() - began < 10  # the server tells; nobody has to ask
    data = event["data"]
    assert event["subject"] == "agent.events.watch.inbox.received"
    assert (data["from"], data["subject"]) == ("Ánn <ann@example.org>", "Grüße 🙂")
    assert data["text"] == "The text.\n\nIts end."
    assert data["attachments"] == [{"name": "bill.pdf", "type": "application/pdf", "bytes": 50_004}]
    assert data["messageId"] == "<new@example.org>"
    assert "%PDF" not in json.dumps(event)
    assert server.seen() == [False, False]
    assert "2 mails in INBOX" in trusting.call("POST", "/api/sources/inbox/test")[1]["sees"]
    made(trusting, server, "all", fromBeginning=True)
    awaited(trusting, "all", 2)
    assert subjects(trusting, "all") == ["Mail old", "Grüße 🙂"]


def test_asked_to_it_marks_what_became_an_event_as_read(trusting: Sidecar, server: Dovecot) -> None:
    server.deliver(mail("old"))
    made(trusting, server, "inbox", markRead=True, tls="starttls", port=server.plain_port)
    server.deliver(mail(1), mail(2))
    awaited(trusting, "inbox", 2)
    deadline = time.monotonic() + 10
    while server.seen() != [False, True, True]:
        assert time.monotonic() < deadline, server.seen()
        time.sleep(0.2)


def hostile() -> list[bytes]:
    """Mails that nobody should write."""
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3000))
    many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000 + b"--b--\r\n"
    inside = b"Content-Type: message/rfc822\r\n\r\n" * 2000
    return [
        b"Subject: nested\r\n" + nested,
        b"Subject: many\r\n" + many,
        b"Subject: inside\r\n" + inside,
        b"Subject: =?utf-8?q?half_=ed=a0=bd?= =?nosuch?b?AAAA?=\r\nFrom: \xff\xfe\r\nDate: 99 Foo 9\r\n\r\n\xed\xa0",
        b'Subject: charset\r\nContent-Type: text/plain; charset="\\\x01x"\r\n\r\n\xe9',
        b"Subject: zip\r\nContent-Type: text/plain; charset=zlib_codec\r\n\r\nx",
        b"Subject: name\r\nContent-Type: text/x; name*0*=utf-8''%; name*1=\xff\r\n\r\nx",
        b"Subject: html\r\nContent-Type: text/html\r\n\r\n" + b"<div>" * 50_000 + b"deep",
        b"Subject: " + b"a" * 500_000 + b"\r\n\r\nlong header",
        b"\r\nno header at all",
        b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 12_000,
    ]


def test_whatever_a_mail_holds_it_is_an_event_and_the_next_one_is_too(trusting: Sidecar, server: Dovecot) -> None:
    made(trusting, server, "inbox")
    mails = hostile()
    server.deliver(*mails)
    server.deliver(mail("after"))
    events = awaited(trusting, "inbox", len(mails) + 1, seconds=150)
    by_subject = {one["data"].get("subject", "")[:8]: one["data"] for one in events}
    assert events[-1]["data"]["subject"] == "Mail after"
    assert by_subject["large"]["truncated"] is True
    assert by_subject["html"]["text"].endswith("deep")
    assert {"nested", "many", "inside", "charset", "zip", "name"} <= by_subject.keys()
    assert len(by_subject["aaaaaaaa"]["subject"]) == 500
    assert all(len(json.dumps(one)) < 400_000 for one in events)
    assert runs(trusting, "inbox") == {"state": "running"}
    assert not any(server.seen())


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"secret": "wrong-pass"}, "does not accept user and password"),
        ({"mailbox": "Nowhere"}, "has no mailbox 'Nowhere'"),
        ({"port": 1}, "refused"),
    ],
)
def test_what_keeps_it_out_is_said(trusting: Sidecar, server: Dovecot, more: dict[str, Any], reason: str) -> None:
    state = made(trusting, server, "inbox", "failing", **more)
    assert reason in state["reason"]
    notes = trusting.get("/api/health")[1]["delivery"]["notes"]
    assert [one for one in notes if reason in one]
    log = (trusting.home / "sidecar.out").read_text() + (trusting.home / "logs" / "sidecar.log").read_text()
    for secret in (PASSWORD, "wrong-pass"):
        assert secret not in log
        assert secret not in json.dumps([trusting.get("/api/sources"), trusting.get("/api/audit")])


def test_a_server_that_nobody_vouches_for_gets_no_password(sidecar: Sidecar, server: Dovecot) -> None:
    assert "certificate" in made(sidecar, server, "inbox", "failing")["reason"].lower()
    assert "Login" not in (server.folder / "dovecot.log").read_text().replace("Login: user=<me@example.org>", "", 1)
    options = {"host": "mail.example.org", "user": USER, "tls": "none"}
    body = {"name": "open", "type": "mail", "secret": "x", "options": {"mail": options}}
    status, answer = sidecar.call("POST", "/api/sources", body)
    assert (status, answer["field"]) == (400, "options.mail.tls")
    body["secret"] = ""
    options["tls"] = "imaps"
    assert sidecar.call("POST", "/api/sources", body)[1]["field"] == "secret"


def test_a_server_that_says_nothing_or_too_much_costs_only_its_own_watcher(sidecar: Sidecar, server: Dovecot) -> None:
    def flood(one: socket.socket) -> None:
        link, _ = one.accept()
        with link:
            link.sendall(b"* OK hello\r\n")
            while link.recv(1000):
                for _ in range(1000):
                    link.sendall(b"* OK " + b"x" * 65_536 + b"\r\n")

    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as silent:
        thread = threading.Thread(target=lambda: _quietly(flood, one), daemon=True)
        thread.start()
        port = one.getsockname()[1]
        state = made(sidecar, server, "flood", "failing", tls="none", port=port)
        assert "more than it may" in state["reason"]
        made(sidecar, server, "silent", "starting", tls="none", port=silent.getsockname()[1])
        made(sidecar, server, "right", tls="none", port=server.plain_port)
        server.deliver(mail(1))
        awaited(sidecar, "right", 1)
        began = time.monotonic()
        assert sidecar.call("DELETE", "/api/sources/silent")[0] == 204
        assert time.monotonic() - began < 5


def _quietly(work: Any, *arguments: Any) -> None:
    with contextlib.suppress(OSError):
        work(*arguments)


def test_mails_that_are_numbered_again_are_told_once(trusting: Sidecar, server: Dovecot) -> None:
    server.deliver(mail("old"))
    made(trusting, server, "inbox")
    server.deliver(mail(1), mail(2))
    awaited(trusting, "inbox", 2)
    trusting.kill()
    server.deliver(mail(3))  # while nobody looks
    server.kill()
    server.number_again()
    server.start()
    trusting.start()
    awaited(trusting, "inbox", 3)
    server.deliver(mail(4))
    awaited(trusting, "inbox", 4)
    time.sleep(2)
    assert [one for one in subjects(trusting, "inbox") if one != "Mail old"] == [f"Mail {n}" for n in (1, 2, 3, 4)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imaplib, when a handshake is cut off
def test_each_mail_is_one_event_whoever_is_killed(trusting: Sidecar, server: Dovecot, nats: NatsServer) -> None:
    made(trusting, server, "inbox")
    count = 150

    def deliver() -> None:
        number = 0
        while number < count:
            try:
                server.deliver(mail(number))
            except Exception:  # it is killed, or about to start
                time.sleep(0.2)
                # Whether it has taken the mail is not known: look before it is sent again.
                if not _has(server, number):
                    continue
            number += 1

    sending = threading.Thread(target=deliver)
    sending.start()
    kill_and_restart([trusting, server, nats, trusting, server, trusting], random.Random(5), (1.0, 2.5))
    sending.join(120)
    assert not sending.is_alive()
    trusting.wait_up()
    awaited(trusting, "inbox", count, seconds=90)
    time.sleep(3)
    assert Counter(subjects(trusting, "inbox")) == {f"Mail {number}": 1 for number in range(count)}
    assert not any(server.seen())


def _has(server: Dovecot, number: int) -> bool:
    while True:
        try:
            with server.client("INBOX") as one:
                return bool(one.search(None, "HEADER", "Message-ID", f"<{number}@example.org>")[1][0])
        except Exception:
            time.sleep(0.2)
