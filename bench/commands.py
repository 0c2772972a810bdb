#!/usr/bin/env python3
"""How long commands keep an operator waiting: doctor while the Gateway is away, a setting, the state of everything.

    python3 dev.py bench --commands [--write]     about a minute

Each figure stands next to `openclaw-nats --version` in the same run, in turns: what starting Python costs anyway. The
installation is a real one (`openclaw-nats up`, with its own nats-server), and its Gateway is away.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.run import table  # noqa: E402
from tests.support.installation import Installation  # noqa: E402

ROUNDS = 5
PAGE = ROOT / "docs" / "benchmarks.md"
TITLE = "\n## Commands\n"
REFERENCE = ("--version",)
LEVEL = "LEVEL"
LEVELS = ("debug", "info")  # another one each round: a setting that is as it was costs nothing
# Each with the exit code that it ends with here: doctor and status find the Gateway away.
COMMANDS = (
    (("status",), 3),
    (("doctor",), 3),
    (("config", "set", "log.level", LEVEL), 0),
)
HEADERS = ["command, with the Gateway away", "seconds, median", "slowest", "of reference"]


def seconds(installation: Installation, arguments: tuple[str, ...], code: int) -> float:
    """How long one command takes; raises when it ends otherwise than it should."""
    began = time.monotonic()
    done = installation.command(*arguments)
    passed = time.monotonic() - began
    if done.returncode != code:
        raise SystemExit(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return passed


def rows() -> list[list[str]]:
    """Every command, next to the reference."""
    cases = [(REFERENCE, 0), *COMMANDS]
    found: dict[tuple[str, ...], list[float]] = {arguments: [] for arguments, _ in cases}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        installation = Installation(Path(name, "state"))
        installation.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        installation.start()
        try:
            for number in range(ROUNDS + 1):
                level = LEVELS[number % len(LEVELS)]
                for arguments, code in cases:
                    given = tuple(level if one == LEVEL else one for one in arguments)
                    passed = seconds(installation, given, code)
                    if number > 0:  # the first round writes the bytecode
                        found[arguments].append(passed)
        finally:
            installation.stop()
    base = statistics.median(found[REFERENCE])
    return [
        [
            f"`openclaw-nats {' '.join(arguments)}`",
            f"{statistics.median(times):.1f}",
            f"{max(times):.1f}",
            f"{statistics.median(times) / base:.1f}x",
        ]
        for arguments, times in found.items()
    ]


def main() -> None:
    """Measure, print, and write the docs' table when asked to."""
    text = table(HEADERS, rows())
    print(text)
    if "--write" in sys.argv:
        before, title, after = PAGE.read_text(encoding="utf-8").partition(TITLE)
        rest = after[after.index("\n## ") :] if "\n## " in after else ""
        load = f"at load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
        how = f"by `python3 dev.py bench --commands`: {ROUNDS} rounds, in turns, {load}"
        measured = f"Measured on {time.strftime('%Y-%m-%d')} {how}."
        if not title:
            before, mark, kept = before.partition("\n## Obedience\n")
            rest = mark + kept
        PAGE.write_text(f"{before.rstrip()}\n{TITLE}\n{measured}\n\n{text}\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
