"""What the unit tests must reach of each package: lines and branches, in percent of all.

Measured by `python3 dev.py test --coverage`, in the processes that unit tests start, too. What integration and Gateway
tests reach is not counted: they would take an hour under measurement. A floor is a little below what was measured; it
is raised when more is reached, and a package without a floor is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

ROOT = "openclaw_nats"
FLOORS: Mapping[str, float] = {
    ROOT: 85,  # its own modules
    "agent_tools": 38,
    "alerts": 80,
    "api": 38,
    "audit": 90,
    "backup": 38,
    "cli": 37,
    "contract": 93,
    "demo": 22,
    "doctor": 41,
    "events": 83,
    "expectations": 42,
    "fleet": 81,
    "gateway": 73,
    "guard": 88,
    "health": 38,
    "inbound": 56,
    "insight": 45,
    "installer": 47,
    "jetstream": 26,
    "keys": 80,
    "migration": 22,
    "mqtt": 40,
    "outbound": 63,
    "reconcile": 80,
    "sandbox": 75,
    "schedules": 56,
    "service": 44,
    "settings": 89,
    "sources": 55,
    "storage": 65,
    "telemetry": 25,
    "watchers": 46,
}


def package_of(path: str) -> str:
    """The package of a source file: the folder below `openclaw_nats`."""
    parts = path.replace("\\", "/").rpartition(f"{ROOT}/")[2].split("/")
    return parts[0] if len(parts) > 1 else ROOT


def reached(report: Mapping[str, Any]) -> dict[str, float]:
    """Percent of lines and branches reached, by package, from what `coverage json` writes."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path, file in report["files"].items():
        summary, of = file["summary"], counts[package_of(path)]
        of[0] += summary["covered_lines"] + summary["covered_branches"]
        of[1] += summary["num_statements"] + summary["num_branches"]
    return {package: 100 * covered / total for package, (covered, total) in sorted(counts.items()) if total}


def faults(found: Mapping[str, float], floors: Mapping[str, float] = FLOORS) -> list[str]:
    """A line for each package below its floor, without one, or of which nothing was measured."""
    return [
        *[
            f"{name}: {found[name]:.1f} %, its floor is {floors[name]:g} %"
            for name in found
            if name in floors and found[name] < floors[name]
        ],
        *[f"{name}: no floor in tests/support/coverage_floors.py" for name in found if name not in floors],
        *[f"{name}: nothing was measured" for name in floors if name not in found],
    ]
