"""Alerts by e-mail, at a real SMTP server that asks for STARTTLS and a password."""

from __future__ import annotations

import email
import email.policy
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import AuthResult, LoginPassword

from openclaw_nats.port_holder import free_port
from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

CONTENT = "PRIVATE-WORDS-OF-A-CHAT"
PASSWORD = "T0PSECRET"


class Mailbox(Message):
    """What the server has taken."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[EmailMessage] = []
        self.users: list[bytes] = []

    def prepare_message(self, session: Any, envelope: Any) -> Any:
        return email.message_from_bytes(envelope.content, policy=email.policy.default)

    def handle_message(self, message: Any) -> None:
        self.got.append(message)

    def texts(self) -> list[str]:
        return [str(one.get_body(("plain",)).get_content()) for one in list(self.got)]


@contextmanager
def smtp(port: int, box: Mailbox, ca: trustme.CA) -> Iterator[None]:
    """A server on a port, as long as it lasts."""

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
        if right:
            box.users.append(data.login)
        return AuthResult(success=right)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("localhost").configure_cert(context)
    server = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        authenticator=sign_in,
        auth_required=True,
        tls_context=context,
        require_starttls=True,
    )
    server.start()
    try:
        yield
    finally:
        server.stop()


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with running_bus(tmp_path) as one:
        yield one


def test_a_dead_letter_and_its_end_come_by_mail_also_when_the_server_was_away(bus: Bus, tmp_path: Path) -> None:
    port, box, ca = free_port(), Mailbox(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    bus.sidecar.environment["SSL_CERT_FILE"] = str(tmp_path / "ca.pem")
    bus.sidecar.kill()
    bus.sidecar.start()
    address = tmp_path / "mail.url"
    address.write_text(
        f"mailtos://{PASSWORD}-user:{PASSWORD}@localhost:{port}?mode=starttls&from=bus@example.org&to=me@example.org\n"
    )
    added = ("alerts", "add", "mail", "--to-file", str(address), "--window", "0s", "--without", "plugin", "--json")
    done = bus.sidecar.command(*added, timeout=90)
    assert done.returncode == 0, done.stderr
    channel = json.loads(done.stdout)["channel"]
    assert (channel["to"], channel["format"], channel["signed"]) == ("mailtos://…", "text", False)
    away = bus.sidecar.command("alerts", "test", "mail", timeout=90)
    assert away.returncode == 1
    assert "the service did not take it" in away.stdout
    bus.route(
        "dies", "agent.events.custom.dies", {"kind": "webhook", "url": "http://127.0.0.1:1/"}, retry={"attempts": 1}
    )
    bus.publish("dies", {"text": CONTENT})
    wait_until(lambda: any(one["attempts"] for one in _history(bus)), 60, "an attempt while there is no server")
    bus.sidecar.kill()
    with smtp(port, box, ca):
        bus.sidecar.start()
        wait_until(lambda: any("dead letters: 1" in one for one in box.texts()), 90, "the mail")
        first = box.got[0]
        assert first["subject"].startswith("openclaw-nats ")
        assert "me@example.org" in first["to"]
        assert "bus@example.org" in first["from"]
        assert box.users[0] == f"{PASSWORD}-user".encode()
        assert bus.sidecar.command("alerts", "test", "mail", timeout=90).returncode == 0
        bus.call("POST", "/api/dead/drop", {"route": "dies"})
        wait_until(lambda: any("Over: dead letters: 1" in one for one in box.texts()), 120, "that it is over")
        sent = wait_until(lambda: _sent(bus), 30, "that nothing waits")
    texts = "".join(box.texts())
    assert "#/deliveries" in texts
    assert CONTENT not in texts
    assert sum(one.count("\ndead letters: 1") + one.startswith("dead letters: 1") for one in box.texts()) == 1, "once"
    told = json.dumps([bus.call("GET", "/api/alerts")[1], bus.call("GET", "/api/audit?limit=1000")[1]])
    assert PASSWORD not in told + (bus.sidecar.home / "logs" / "sidecar.log").read_text()
    assert max(one["attempts"] for one in sent) >= 2, "the one that waited for the server"


def _history(bus: Bus) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bus.call("GET", "/api/alerts/mail/history")[1]["messages"]
    return found


def _sent(bus: Bus) -> list[dict[str, Any]]:
    """The messages, once the receiver has taken all of them."""
    found = _history(bus)
    return found if {one["state"] for one in found} == {"sent"} else []
