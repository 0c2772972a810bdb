"""What HTTP clients of the wild do: offer HTTP/2, compress bodies, come in crowds and stay silent."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import json
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import API_KEY, NatsServer, Sidecar, event, wait_until

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
BODY = b'{"subject":"agent.events.custom.offered","payload":1}'


def head(extra: str = "", method: str = "POST /api/publish") -> bytes:
    return (
        f"{method} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        f"Content-Type: application/json\r\n{extra}\r\n"
    ).encode()


class Kept(io.BufferedReader):
    """A reader for several answers: what it has read ahead of one belongs to the next."""

    def makefile(self, mode: str) -> Kept:
        return self

    def close(self) -> None:
        """Nothing: each answer closes its reader when it is complete."""


def answers(bus: Sidecar, chunks: list[bytes], count: int) -> list[tuple[int, bytes]]:
    """Send chunks, a moment apart, and read that many answers from the one connection."""
    found = []
    with socket.create_connection(("127.0.0.1", bus.port), timeout=10) as link:
        for number, chunk in enumerate(chunks):
            time.sleep(0.05 if number else 0)
            link.sendall(chunk)
        reader = Kept(socket.SocketIO(link, "rb"))
        for _ in range(count):
            response = http.client.HTTPResponse(reader)  # type: ignore[arg-type]
            response.begin()
            found.append((response.status, response.read()))
    return found


LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
OFFERS = {
    "in one piece": [head(H2C + LENGTH) + BODY],
    "body later": [head(H2C + LENGTH), BODY],
    "in small pieces": [bytes([byte]) for byte in head(H2C + LENGTH)[-40:]],
    "chunked": [head(H2C + "Transfer-Encoding: chunked\r\n") + CHUNKED],
    "TLS": [head("Connection: upgrade\r\nUpgrade: TLS/1.0\r\n" + LENGTH) + BODY],
    "websocket": [head("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" + LENGTH) + BODY],
    "twice": [head(H2C + "Upgrade: foo/2\r\n" + LENGTH) + BODY],
}
OFFERS["in small pieces"] = [head(H2C + LENGTH)[:-40], *OFFERS["in small pieces"], BODY]


@pytest.mark.parametrize("chunks", OFFERS.values(), ids=OFFERS.keys())
def test_an_offer_of_another_protocol_is_ignored(bus: Sidecar, chunks: list[bytes]) -> None:
    before = len(bus.events())
    plain = head(LENGTH) + BODY
    got = answers(bus, [*chunks, plain], 2)  # and the connection goes on
    assert [status for status, _ in got] == [200, 200], got
    assert len(bus.events()) == before + 2


def test_two_offers_in_one_segment_are_two_requests(bus: Sidecar) -> None:
    got = answers(bus, [(head(H2C + LENGTH) + BODY) * 2 + head(H2C, "GET /api/nothing")], 3)
    assert [status for status, _ in got] == [200, 200, 404]


def test_an_offer_hides_no_body_of_two_lengths(bus: Sidecar) -> None:
    both = head(H2C + LENGTH + "Transfer-Encoding: chunked\r\n") + CHUNKED
    assert answers(bus, [both], 1)[0][0] == 400
    connect = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"
    assert answers(bus, [connect], 1)[0][0] == 405


def test_trailers_are_no_headers_and_have_a_limit(bus: Sidecar) -> None:
    chunked, end = "Transfer-Encoding: chunked\r\n", CHUNKED.removesuffix(b"\r\n")
    before = len(bus.events())
    both = head(chunked) + end + b"Authorization: Bearer x\r\nContent-Encoding: br\r\n\r\n"
    assert [status for status, _ in answers(bus, [both, head(LENGTH) + BODY], 2)] == [200, 200]
    assert len(bus.events()) == before + 2
    pieces = [head(chunked) + end, *[b"X: " + b"y" * 20_000] * 3]
    assert answers(bus, pieces, 1)[0][0] == 431
    pieces = [head(chunked) + end, *[b"X: y\r\n" * 4000] * 3]
    assert answers(bus, pieces, 1)[0][0] == 431
    one_by_one = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    assert answers(bus, [head(chunked) + one_by_one], 1)[0][0] == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_with_http2(bus: Sidecar, tmp_path: Path) -> None:
    headers = ["-H", f"Authorization: Bearer {API_KEY}", "-H", "Content-Type: application/json"]
    done = subprocess.run(
        [
            "curl",
            "--http2",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            *headers,
            "-d",
            BODY,
            f"{bus.url}/api/publish",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "200", done


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_bodies_are_read_everywhere(bus: Sidecar, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    assert bus.request("POST", "/api/publish", pack(BODY), headers)[0] == 200
    lines = b"\n".join(json.dumps(event(f"{encoding}-{n}")).encode() for n in range(20))
    status, _, answer = bus.request(
        "POST", "/api/events", pack(lines), {**headers, "Content-Type": "application/x-ndjson"}
    )
    assert (status, json.loads(answer)["accepted"]) == (200, 20)
    cron = {"name": f"packed-{encoding}", "cron": "0 9 * * *", "subject": "agent.events.cron.packed", "payload": {}}
    assert bus.request("POST", "/api/cron", pack(json.dumps(cron).encode()), headers)[0] == 201


def test_a_bomb_is_413_and_an_unknown_encoding_415_with_what_is_taken(bus: Sidecar) -> None:
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    bomb = gzip.compress(b" " * (512 << 20), 1)
    assert len(bomb) < 8 << 20
    began = time.monotonic()
    assert bus.request("POST", "/api/events", bomb, headers)[0] == 413
    assert time.monotonic() - began < 5
    status, answer, _ = bus.request("POST", "/api/events", b"x", {**headers, "Content-Encoding": "br"})
    assert (status, answer["accept-encoding"]) == (415, "gzip, deflate, identity")
    assert bus.request("POST", "/api/events", gzip.compress(BODY)[:-3], headers)[0] == 400


@pytest.fixture
def small(tmp_path: Path, nats: NatsServer) -> Iterator[Sidecar]:
    one = Sidecar(tmp_path / "state", nats)
    one.set("max_connections = 8")
    one.start()
    yield one
    one.close()


def test_a_crowd_of_strangers_takes_no_connection_from_who_has_the_key(small: Sidecar) -> None:
    own = http.client.HTTPConnection("127.0.0.1", small.port, timeout=10)
    own.request("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})
    own.getresponse().read()
    kept = own.sock
    with contextlib.ExitStack() as stack:
        post = (
            b"POST /dashboard/api/session HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Type: application/json\r\n"
        )
        for number in range(40):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", small.port), timeout=10))
            link.sendall(post + b"Content-Type: application/json\r\n\r\n" if number % 2 else b"GET / HTTP/1.1\r\n")
            assert small.publish("agent.events.custom.beside", number)[0] == 200
        own.request("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})
        assert own.getresponse().read()
        assert own.sock is kept
    own.close()


def test_when_all_connections_belong_to_who_has_the_key_one_more_is_503(small: Sidecar) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            one = stack.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", small.port)))
            one.request("GET", "/api/routes", headers={"Authorization": f"Bearer {API_KEY}"})
            one.getresponse().read()
        status, headers, _ = small.request("GET", "/api/health", key="")
        assert (status, headers["retry-after"]) == (503, "1")
    wait_until(lambda: small.get("/api/health", key="")[0] == 200, what="room for a connection")
