"""How long the demo's Gateway is waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from openclaw_nats.demo import gateway as demo
from openclaw_nats.demo.gateway import Gateway
from openclaw_nats.demo.provision import OpenClawPrefix
from openclaw_nats.errors import SetupError

# Writes a line every 0.2 s, then answers; or says one thing and hangs.
SLOW = """
import http.server, sys, time
for number in range(10):
    print(number, flush=True)
    time.sleep(0.2)
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""
HANGS = "import time; print('it hangs', flush=True); time.sleep(60)"


def begun(folder: Path, program: str) -> Gateway:
    gateway = Gateway(OpenClawPrefix(folder), folder)
    with (folder / "gateway.log").open("ab") as log:
        command = [sys.executable, "-c", program, str(gateway.port)]
        gateway.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    return gateway


def test_a_slow_start_is_waited_for_while_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_SILENT_SECONDS", 1.5)
    gateway = begun(tmp_path, SLOW)
    try:
        gateway.wait_ready()
    finally:
        gateway.close()


def test_one_that_says_nothing_any_more_has_failed_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_SILENT_SECONDS", 1.5)
    gateway = begun(tmp_path, HANGS)
    began = time.monotonic()
    try:
        with pytest.raises(SetupError, match="it hangs"):
            gateway.wait_ready()
    finally:
        gateway.close()
    assert time.monotonic() - began < 30
