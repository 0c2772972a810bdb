#!/usr/bin/env python3
"""This commit's ingest beside an older commit's, on one nats-server, in turns: `python3 dev.py bench --against REF`.

The older sidecar is started from `git archive REF src`, with the same Python and the same packages.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.ingest import Measured, http_case  # noqa: E402
from tests.support.processes import NatsServer, Sidecar  # noqa: E402

CASES = (("one event a POST, 1 connection", 1, 0), ("one event a POST, 64 connections", 64, 0))
CASES += (("NDJSON of 1000, 1 connection", 1, 1000),)
ROUNDS = 2


def rows(folder: Path, reference: str) -> list[list[str]]:
    """For each case: events a second then and now, the ratio, and CPU microseconds an event then and now."""
    archive = subprocess.run(["git", "archive", reference, "src"], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder / "before", filter="data")
    found: dict[str, dict[str, list[Measured]]] = {name: {"before": [], "now": []} for name, _, _ in CASES}
    sidecars = {}
    for label, source in (("before", folder / "before" / "src"), ("now", ROOT / "src")):
        server = NatsServer(folder / label / "nats")
        server.start()
        sidecar = Sidecar(folder / label / "state", server)
        sidecar.environment["PYTHONPATH"] = str(source)
        sidecar.start()
        sidecars[label] = (server, sidecar)
    for _ in range(ROUNDS):
        for name, workers, batch in CASES:
            for label, (_, sidecar) in sidecars.items():
                found[name][label].append(uvloop.run(http_case(sidecar, workers, batch)))
    for server, sidecar in sidecars.values():
        sidecar.close()
        server.close()
    return [_row(name, both["before"], both["now"]) for name, both in found.items()]


def _row(name: str, before: list[Measured], now: list[Measured]) -> list[str]:
    def middle(measured: list[Measured], what: str) -> Any:
        return statistics.median(getattr(one, what) for one in measured)

    rates, cpu = (middle(before, "rate"), middle(now, "rate")), (middle(before, "cpu"), middle(now, "cpu"))
    return [
        name,
        f"{rates[0]:,.0f}",
        f"{rates[1]:,.0f}",
        f"{rates[1] / rates[0]:.2f}x",
        f"{cpu[0]:.0f}",
        f"{cpu[1]:.0f}",
    ]


HEADERS = ["ingest", "events/s before", "now", "ratio", "CPU µs/event before", "now"]
