"""A second try for a few tests that failed next to others: workers share two cores, and tests wait for real parts.

It is no secret: what failed is printed as any failure, and once more at the end. What kills at random moments (chaos)
has to pass three times, each time with another seed: a fault that one run in three shows is hardly missed. Fuzzing gets
no second try: what has failed there fails for a reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MOST = 5
NEVER = "tests/integration/test_fuzz.py"
AT_RANDOM = "tests/chaos/"
TRIES_AT_RANDOM = 3
_KEPT = Path(".pytest_cache", "v", "cache", "lastfailed")


def worth_it(failed: Iterable[str]) -> list[str]:
    """Those of the failed tests (pytest's ids) that are run again: all of them, or none."""
    found = sorted(failed)
    if len(found) > MOST or any("::" not in one or one.startswith(NEVER) for one in found):
        return []
    return found


def tries(failed: list[str]) -> list[list[str]]:
    """The runs in which each of these has to pass: all of them once, those at random moments more often."""
    at_random = [one for one in failed if one.startswith(AT_RANDOM)]
    return [failed, *([at_random] * (TRIES_AT_RANDOM - 1) if at_random else [])]


def second_try(root: Path, environment: dict[str, str]) -> bool:
    """Run what the last run of pytest in `root` has noted as failed, alone; whether there was some, and all passed."""
    try:
        failed = worth_it(json.loads((root / _KEPT).read_text()))
    except (OSError, ValueError):
        return False
    if not failed:
        return False
    print(f"· {len(failed)} failed next to others: a second try, alone", flush=True)
    for chosen in tries(failed):
        done = subprocess.run([sys.executable, "-m", "pytest", *chosen], cwd=root, env=environment, check=False)
        if done.returncode != 0:
            return False
    for one in failed:
        print(f"! passed alone only, look at it: {one}", flush=True)
    return True
