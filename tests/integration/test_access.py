"""Who may ask, and how much a client may take: authentication, sizes, slow clients, on raw sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time

import pytest

from openclaw_nats.api.http_protocol import BODY_SECONDS, HEAD_BYTES, HEAD_SECONDS
from tests.support.processes import API_KEY, NatsServer, Sidecar

PATHS = [
    "/api/publish",
    "/api/events",
    "/api/plugin/report",
    "/metrics",
    "/api/openapi.json",
    "/api/nothing",
    "/",
    "/docs",
]


def test_without_the_key_everything_but_health_is_the_same_401(bus: Sidecar) -> None:
    answers = {
        bus.request(method, path, b"{}" if method == "POST" else None, key=key)[::2]
        for path in PATHS
        for method in ("GET", "POST", "DELETE", "OPTIONS")
        for key in ("", "wrong", API_KEY[:-1], API_KEY + "x")
    }
    assert len(answers) == 1
    status, body = answers.pop()
    assert status == 401
    assert json.loads(body)["type"] == "urn:openclaw-nats:problem:unauthorized"


def test_two_authorization_headers_are_refused(bus: Sidecar) -> None:
    request = (
        f"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Connection: close\r\n\r\n"
    )
    assert _raw(bus, request.encode()).startswith(b"HTTP/1.1 401")


def test_health_without_the_key_says_only_up_or_down(bus: Sidecar) -> None:
    assert bus.get("/api/health", key="") == (200, {"status": "up"})
    report = bus.get("/api/health")[1]
    parts = {"nats", "sidecar", "gateway", "plugin", "delivery", "schedules", "identity", "expectations"}
    assert set(report) == {"status", *parts}
    assert report["nats"]["reachable"] is True
    assert report["gateway"]["reachable"] is False
    assert report["gateway"]["lastError"]
    assert report["plugin"]["lastError"]
    assert "password" not in json.dumps(report)


def test_with_the_key_unknown_paths_are_404_and_wrong_methods_405(bus: Sidecar) -> None:
    assert bus.request("GET", "/api/nothing")[0] == 404
    status, headers, _ = bus.request("DELETE", "/api/publish")
    assert (status, headers["allow"]) == (405, "POST")


def test_the_sidecar_does_not_start_without_a_key(tmp_path, nats: NatsServer) -> None:  # type: ignore[no-untyped-def]
    one = Sidecar(tmp_path / "state", nats)
    (one.home / "api-key").write_text("short")
    one.start(wait=False)
    assert one.process is not None
    assert one.process.wait(20) == 1
    assert "API key" in (one.home / "sidecar.out").read_text()


def test_it_listens_on_loopback_only(bus: Sidecar) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((_own_address(), bus.port), timeout=3)


def test_headers_over_the_limit_are_431_and_the_next_request_works(bus: Sidecar) -> None:
    head = b"GET /api/health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * (HEAD_BYTES + 1) + b"\r\n\r\n"
    answer = _raw(bus, head)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"headers-too-large" in answer
    many = b"GET /api/health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(6000)) + b"\r\n"
    assert _raw(bus, many).startswith(b"HTTP/1.1 431")
    assert bus.get("/api/health")[0] == 200


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"NONSENSE " * 100 + b"\r\n\r\n"],
)
def test_bytes_that_are_no_http_are_400(bus: Sidecar, garbage: bytes) -> None:
    assert _raw(bus, garbage).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert bus.get("/api/health")[0] == 200


def test_a_body_longer_than_it_said_or_cut_off_harms_nobody(bus: Sidecar) -> None:
    start = (
        f"POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Content-Type: application/json\r\n"
    )
    with socket.create_connection(("127.0.0.1", bus.port)) as link:
        link.sendall(start.encode() + b"Content-Length: 1000\r\n\r\n{")
    assert bus.publish("agent.events.custom.after", 1)[0] == 200


def test_chunked_bodies_are_limited_too(bus: Sidecar) -> None:
    start = (
        f"POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    answer = _raw(bus, start.encode() + chunk * 20 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")


@pytest.mark.timeout(60)
def test_slow_clients_are_cut_off_and_do_not_hold_the_others(bus: Sidecar) -> None:
    links = [socket.create_connection(("127.0.0.1", bus.port)) for _ in range(200)]
    try:
        for link in links:
            link.sendall(b"GET /api/health HTTP/1.1\r\nX-Slow: ")
        assert bus.publish("agent.events.custom.beside", 1)[0] == 200
        links[0].settimeout(15)
        began = time.monotonic()
        answer = links[0].recv(65536)
        assert answer.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 14
    finally:
        for link in links:
            link.close()


def test_a_body_that_does_not_come_is_408(bus: Sidecar) -> None:
    head = f"POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 100\r\n"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", bus.port), timeout=BODY_SECONDS + 5) as link:
        link.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        assert link.recv(65536).startswith(b"HTTP/1.1 408")
    assert BODY_SECONDS - 2 < time.monotonic() - began < BODY_SECONDS + 4


def test_a_kept_connection_serves_many_requests_with_pauses(bus: Sidecar) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", bus.port, timeout=10)
    for pause in (0, 0.2, HEAD_SECONDS + 1, 0):
        time.sleep(pause)
        connection.request("GET", "/api/health")
        assert connection.getresponse().read() == b'{"status":"up"}'
    connection.close()


def test_memory_stays_bounded_under_huge_requests(bus: Sidecar) -> None:
    import psutil

    assert bus.process is not None
    process = psutil.Process(bus.process.pid)
    for _ in range(5):
        bus.request("POST", "/api/events", b"x" * (9 << 20), {"Content-Type": "application/x-ndjson"})
        bus.request("POST", "/api/events", b"x" * (8 << 20), {"Content-Type": "application/x-ndjson"})
        bus.request("POST", "/api/events", b"[" * (4 << 20), {"Content-Type": "application/json"})
    assert process.memory_info().rss < 200 << 20
    assert bus.get("/api/health")[0] == 200


def _raw(sidecar: Sidecar, data: bytes) -> bytes:
    """Send bytes and return what comes back until the connection ends."""
    received = b""
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=15) as link:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has read all
            link.sendall(data)
        while True:
            try:
                part = link.recv(65536)
            except (ConnectionResetError, TimeoutError):
                return received
            if not part:
                return received
            received += part


def _own_address() -> str:
    """An address of this machine that is not loopback; 127.0.0.2 where it has none (also not listened on)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.2"
