#!/usr/bin/env python3
"""The front door next to `POST /api/publish`: signed deliveries of GitHub's kind, and the same payloads published.

    python bench/door.py [rounds]

Both in turns on one sidecar, at the same concurrency, so that whatever else the machine does meets both alike. A figure
is the median of the rounds, and the ratio the median of the ratios in each round.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

import psutil
import uvloop

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.ingest import Measured, measure, new_id
from tests.support.processes import API_KEY, NatsServer, Sidecar

ROUNDS = 5
CONCURRENCY = (1, 8, 64)
HEADERS = ["taken in, a request each", "events/s", "of publish", "p50 ms", "p99 ms", "CPU µs/event"]
SECRET = "a-secret-of-the-benchmark"
_PAYLOAD = {
    "action": "opened",
    "issue": {"number": 17, "title": "The door does not open", "body": "It was open yesterday. " * 20, "labels": []},
    "repository": {"full_name": "acme/door", "private": False},
    "sender": {"login": "somebody"},
}


class Client:
    """A keep-alive HTTP client that does as little as possible."""

    async def open(self, port: int) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)

    async def post(self, path: str, headers: str, body: bytes, status: int) -> None:
        """One request, answered so."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)[1])  # type: ignore[index]
        said = await self._reader.readexactly(length)
        assert answer.startswith(b"HTTP/1.1 %d" % status), answer + said

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


async def case(sidecar: Sidecar, path: str, workers: int) -> Measured:
    """Deliveries to a source's address, or for no address the same payloads published."""
    assert sidecar.process is not None
    clients = [Client() for _ in range(workers)]
    for client in clients:
        await client.open(sidecar.port)

    async def once(worker: int) -> None:
        number = new_id()
        body = json.dumps({"delivery": number, **_PAYLOAD}).encode()
        if path:
            signature = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
            headers = (
                f"X-GitHub-Event: issues\r\nX-GitHub-Delivery: {number}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
            )
            await clients[worker].post(path, headers, body, 202)
        else:
            whole = b'{"subject": "agent.events.webhook.gh.issues.opened", "payload": %s, "id": "%s"}' % (
                body,
                number.encode(),
            )
            await clients[worker].post("/api/publish", f"Authorization: Bearer {API_KEY}\r\n", whole, 200)

    try:
        return await measure(workers, once, 1, psutil.Process(sidecar.process.pid))
    finally:
        for client in clients:
            client.close()


def rows(folder: Path, rounds: int = ROUNDS) -> list[list[str]]:
    """The table."""
    server = NatsServer(folder / "nats")
    server.start()
    sidecar = Sidecar(folder / "state", server)
    sidecar.start()
    try:
        status, source = sidecar.call("POST", "/api/sources", {"name": "gh", "type": "github", "secret": SECRET})
        assert status == 201, source
        cases = [(workers, path) for workers in CONCURRENCY for path in ("", source["path"])]
        found: dict[tuple[int, str], list[Measured]] = {one: [] for one in cases}
        for turn in range(rounds):
            for one in cases if turn % 2 else reversed(cases):
                found[one].append(uvloop.run(case(sidecar, one[1], one[0])))
    finally:
        sidecar.close()
        server.close()
    table: list[list[str]] = []
    for (workers, path), measured in found.items():
        names = ("rate", "p50", "p99", "cpu")
        middle = {name: statistics.median(getattr(one, name) for one in measured) for name in names}
        pairs = zip(measured, found[workers, ""], strict=True)
        ratio = statistics.median(one.rate / other.rate for one, other in pairs)
        name = f"{'a signed delivery' if path else 'a publish'}, {workers} connection{'s' * (workers > 1)}"
        figures = [f"{middle[one]:.1f}" for one in ("p50", "p99")]
        table.append([name, f"{middle['rate']:,.0f}", f"{ratio:.0%}", *figures, f"{middle['cpu']:.0f}"])
    return table


if __name__ == "__main__":
    from bench.run import table as shown

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        print(os.getloadavg())
        print(shown(HEADERS, rows(Path(name), int(sys.argv[1]) if sys.argv[1:] else ROUNDS)))
