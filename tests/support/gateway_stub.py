"""A Gateway-shaped HTTP server in a process of its own, with the faults that tests need and a ledger of what it did.

It answers `/hooks/agent` as a real Gateway does (tests/contract/test_hooks.py holds it to that), and
any other path as a webhook's receiver. Each idempotency key is acted on once: the ledger has a line for every act. The
keys are read from the ledger at the start, so that a restart keeps them, unlike a real Gateway's.

    python -m tests.support.gateway_stub PORT LEDGER TOKEN

`POST /_mode {"mode": …, "count": N}` sets a fault for the next N requests (-1: until changed): 500, 503, 429, 400, 413,
hang, close (acts, then closes without an answer), refuse-run (the run ends with an error), half (half an answer).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from openclaw_nats.port_holder import free_port
from tests.support.processes import Process, wait_until

HOOK_TOKEN = "stub-hook-token"
RUN_SECONDS = float(os.environ.get("STUB_RUN_SECONDS", "0"))


class State:
    """What the server remembers."""

    def __init__(self, ledger: Path, token: str) -> None:
        self.token = token
        self.mode, self.count = "ok", 0
        self.keys: dict[str, bytes] = {}
        if ledger.exists():
            for line in ledger.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    self.keys[json.loads(line)["key"]] = b""
        self.file = ledger.open("a")
        self.running = 0

    def fault(self) -> str:
        """The fault for this request."""
        if self.mode == "ok" or self.count == 0:
            return "ok"
        self.count -= 1
        return self.mode

    def act(self, key: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        """Act once for a key: a line in the ledger."""
        if key in self.keys:
            return
        self.keys[key] = b""
        shown = {name: value for name, value in headers.items() if name.startswith(("webhook-", "content-", "trace"))}
        line = {"key": key, "path": path, "time": time.time(), "running": self.running, "headers": shown}
        self.file.write(json.dumps({**line, "body": json.loads(body) if _is_json(body) else body.decode()}) + "\n")
        self.file.flush()


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: State) -> None:
    """One connection, many requests."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while await _one(reader, writer, state):
            pass
    writer.close()


async def _one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, state: State) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    if path == "/_mode":
        found = json.loads(body)
        state.mode, state.count = found["mode"], found.get("count", -1)
        state.token = found.get("token", state.token)
        _answer(writer, 200, {})
        return True
    if path in ("/healthz", "/readyz"):
        _answer(writer, 200, {"ok": True})
        return True
    return await _hook(writer, state, method, path, headers, body)


async def _hook(
    writer: asyncio.StreamWriter, state: State, method: str, path: str, headers: dict[str, str], body: bytes
) -> bool:
    hook = path.startswith("/hooks/")
    if hook and headers.get("authorization") != f"Bearer {state.token}":
        _answer(writer, 401, {"ok": False, "error": "Unauthorized"})
        return True
    if hook and path != "/hooks/agent":
        _answer(writer, 404, {"ok": False, "error": "Not Found"})
        return True
    if method != "POST":
        _answer(writer, 405, {"ok": False, "error": "Method Not Allowed"})
        return True
    if len(body) > 256 * 1024:
        _answer(writer, 413, {"ok": False, "error": "payload too large"})
        return False
    if hook and not _is_json(body):
        _answer(writer, 400, {"ok": False, "error": "invalid json"})
        return True
    fault = state.fault()
    if fault in ("500", "400", "413", "503", "429"):
        more = {"Retry-After": "1"} if fault in ("503", "429") else {}
        _answer(writer, int(fault), {"ok": False, "error": f"scripted {fault}"}, more)
        return True
    if fault == "hang":
        await asyncio.sleep(3600)
    key = headers.get("idempotency-key") or headers.get("webhook-id") or f"none-{time.time_ns()}"
    state.running += 1
    state.act(key, path, body, headers)
    if RUN_SECONDS:
        await asyncio.sleep(RUN_SECONDS)
    state.running -= 1
    if fault == "close":
        return False
    if fault == "half":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
        return False
    completion = {"status": "error", "error": "scripted"} if fault == "refuse-run" else {"status": "ok"}
    _answer(writer, 200, {"ok": True, "runId": key, "completion": completion})
    return True


def _answer(writer: asyncio.StreamWriter, status: int, value: Any, more: dict[str, str] | None = None) -> None:
    body = json.dumps(value).encode()
    lines = "".join(f"{name}: {text}\r\n" for name, text in (more or {}).items())
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    writer.write(head.encode() + body)


class GatewayStub(Process):
    """The server as a child process."""

    def __init__(self, folder: Path, run_seconds: float = 0.0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ledger = folder / "ledger.jsonl"
        self.run_seconds = run_seconds

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.gateway_stub", str(self.port), str(self.ledger), HOOK_TOKEN],
            cwd=Path(__file__).parent.parent.parent,
            env=dict(os.environ) | {"STUB_RUN_SECONDS": str(self.run_seconds)},
            stdin=subprocess.DEVNULL,
        )
        wait_until(self._answers, what="the Gateway-shaped server")

    def mode(self, mode: str, count: int = -1, **more: Any) -> None:
        """Set the fault of the next requests."""
        body = json.dumps({"mode": mode, "count": count, **more}).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_mode", body, method="POST"), timeout=5):
            pass

    def acts(self) -> list[dict[str, Any]]:
        """What it acted on."""
        if not self.ledger.exists():
            return []
        return [json.loads(line) for line in self.ledger.read_text().split("\n")[:-1]]

    def _answers(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)


async def main() -> None:
    """Serve until killed."""
    state = State(Path(sys.argv[2]), sys.argv[3])
    server = await asyncio.start_server(lambda r, w: serve(r, w, state), "127.0.0.1", int(sys.argv[1]), limit=1 << 21)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with server:
        await stop.wait()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
