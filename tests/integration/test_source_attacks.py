"""Requests that no honest sender makes, byte by byte: none passes that is not signed, none breaks or slows the door."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from urllib.parse import quote

import psutil
import pytest

from tests.integration.test_sources import Provider
from tests.support.processes import Sidecar

BODY = b'{"action": "opened"}'
Headers = list[tuple[str, str]]


def proof(provider: Provider, body: bytes) -> str:
    return "sha256=" + hmac.new(provider.secret.encode(), body, hashlib.sha256).hexdigest()


def written(path: str, headers: Headers, body: bytes, method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *(f"{name}: {one}" for name, one in headers)]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode("latin-1") + body


def answer_to(bus: Sidecar, data: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; the status, and the answer's body."""
    with socket.create_connection(("127.0.0.1", bus.port), timeout=10) as link:
        link.sendall(data)
        whole = b""
        while chunk := link.recv(65_536):
            whole += chunk
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.fixture
def hub(bus: Sidecar) -> Provider:
    return Provider(bus, f"hub-{time.time_ns() % 10**9}", "github")


def test_nothing_that_is_signed_twice_folded_late_or_packed_passes(bus: Sidecar, hub: Provider) -> None:
    right = proof(hub, BODY)
    chunked = f"POST {hub.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n".encode()
    chunk = b"%x\r\n%b\r\n0\r\n" % (len(BODY), BODY)
    packed = [("X-Hub-Signature-256", right), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    tries = [
        written(hub.path, [("X-Hub-Signature-256", right), ("X-Hub-Signature-256", "sha256=00")], BODY),
        written(hub.path, [("X-Hub-Signature-256", "sha256=00"), ("X-Hub-Signature-256", right)], BODY),
        written(hub.path, [("X-Hub-Signature-256", right), ("X-Hub-Signature-256", right)], BODY),
        written(hub.path, [("X_Hub_Signature_256", right)], BODY),
        written(hub.path, packed, BODY),
        chunked + b"\r\n" + chunk + b"X-Hub-Signature-256: " + right.encode() + b"\r\n\r\n",  # a trailer
        written(f"{hub.path}%00", [("X-Hub-Signature-256", right)], BODY),
        written(f"{hub.path}%0a", [("X-Hub-Signature-256", right)], BODY),
        written(hub.path.replace("/in/", "/in//"), [("X-Hub-Signature-256", right)], BODY),
        written(hub.path.replace("/in/", "/in/%2e/"), [("X-Hub-Signature-256", right)], BODY),
        written("/in/%ff/%ff", [("X-Hub-Signature-256", right)], BODY),
        written(hub.path, [("X-Hub-Signature-256", right)], BODY, method="PROPFIND"),
    ]
    tries += [data.replace(b" /in/", b" /dashboard/in/", 1) for data in tries]  # as it comes by the Gateway's port
    answers = [answer_to(bus, data) for data in tries]
    assert {status for status, _ in answers} == {401}, answers
    assert len({body for _, body in answers}) == 1
    for data in (
        written(hub.path, [("X-Hub-Signature-256", f"sha256=\r\n {right[7:]}")], BODY),  # a folded line
        written(hub.path, [("X-Hub-Signature-256", right), ("Content-Length", "3")], BODY),
        chunked + f"Content-Length: 3\r\nX-Hub-Signature-256: {right}\r\n\r\n".encode() + chunk + b"\r\n",
    ):
        assert answer_to(bus, data)[0] == 400
    assert not hub.stored()
    assert answer_to(bus, chunked + f"X-Hub-Signature-256: {right}\r\n\r\n".encode() + chunk + b"\r\n")[0] == 202


def test_heads_without_end_and_lists_of_signatures_cost_nothing(bus: Sidecar, hub: Provider) -> None:
    stripe, standard = (Provider(bus, f"{hub.name}-{kind}", kind) for kind in ("stripe", "standard"))
    now = str(int(time.time()))
    many = [
        (stripe, [("Stripe-Signature", f"t={now}," + ",".join(f"v1={number:064x}" for number in range(450)))]),
        (stripe, [("Stripe-Signature", f"t={now},t={now},v1=00")]),
        (stripe, [("Stripe-Signature", "t=\xb2\xb3,v1=00")]),
        (standard, [("webhook-id", "a"), ("webhook-timestamp", now), ("webhook-signature", "v1,a " * 5000)]),
        (hub, [(f"X-{number}", "1") for number in range(150)]),
    ]
    began = time.monotonic()
    for provider, headers in many:
        assert answer_to(bus, written(provider.path, headers, BODY))[0] == 401, headers[:2]
    for headers in ([("X-Long", "a" * 40_000)], [(f"X-{number}", "1") for number in range(300)]):
        right: Headers = [("X-Hub-Signature-256", proof(hub, BODY))]
        assert answer_to(bus, written(hub.path, right + headers, BODY))[0] == 431
    assert time.monotonic() - began < 5


def test_names_and_ids_in_headers_are_only_names_and_ids(bus: Sidecar, hub: Provider) -> None:
    names = ["a.*.>.. b\xe9", "*", ">", "a." * 8000, "\x9b31m", "\xc3\xbc", "agent.events.cron.x", "../../x"]
    for number, name in enumerate(names):
        body = b'{"n": %d}' % number
        headers = [("X-Hub-Signature-256", proof(hub, body)), ("X-GitHub-Event", name)]
        status, answer = answer_to(bus, written(hub.path, [*headers, ("X-GitHub-Delivery", f"{name}.{number}")], body))
        assert status == 202, answer
    found = [one["event"] for one in hub.stored()]
    assert [one["data"]["n"] for one in found] == list(range(len(names)))
    begin = hub.source["subject"] + "."
    for one in found:
        assert one["subject"].startswith(begin)
        assert one["subject"].removeprefix(begin).replace(".", "").replace("_", "a").replace("-", "a").isalnum()
        assert one["id"].startswith(f"{hub.name}:")
        assert one["id"].isprintable()
    assert bus.get("/api/sources/" + quote(hub.name))[1]["accepted"] == len(names)


def test_a_cloudevent_in_headers_keeps_what_it_says_and_says_nothing_twice(bus: Sidecar, hub: Provider) -> None:
    provider = Provider(bus, f"{hub.name}-ce", "cloudevents")
    bearer = ("Authorization", f"Bearer {provider.secret}")
    base = [bearer, ("ce-specversion", "1.0"), ("ce-type", "t")]
    own = [*base, ("ce-id", "1"), ("ce-source", "/\xc3\xbc"), ("ce-subject", "order 7"), ("ce-hops", "3")]
    assert answer_to(bus, written(provider.path, own, b"{}"))[0] == 202
    assert answer_to(bus, written(provider.path, [*base, ("ce-id", "2"), ("ce-source", "/b")], b"{}"))[0] == 202
    for twice in (("ce-id", "4"), ("CE-ID", "4")):
        sent = [*base, ("ce-id", "3"), ("ce-source", "/b"), twice]
        status, answer = answer_to(bus, written(provider.path, sent, b"{}"))
        assert (status, "twice" in json.loads(answer)["detail"]) == (422, True), answer
    first, second = (one["event"] for one in provider.stored())
    assert (first["source"], first["cesubject"], second.get("cesubject")) == ("/ü", "order 7", None)
    tokens = f"?access_token={provider.secret}&access_token={provider.secret}"
    assert answer_to(bus, written(provider.path + tokens, [], b"{}"))[0] == 401


def test_a_body_without_end_is_cut_off_and_afterwards_the_sidecar_is_well_and_small(bus: Sidecar) -> None:
    hub = Provider(bus, "endless", "github")
    head = f"POST {hub.path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", bus.port), timeout=10) as link:
        link.sendall(head)
        sent = 0
        try:
            while sent < 64 << 20:
                link.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                sent += 65_536
        except OSError:
            pass
    assert sent < 16 << 20
    assert bus.process is not None
    assert psutil.Process(bus.process.pid).memory_info().rss < 150 << 20
    assert hub.send(BODY)[0] == 202
    assert "front_door.bug" not in (bus.home / "logs" / "sidecar.log").read_text()
