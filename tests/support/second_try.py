"""A second try for a few tests that failed next to others: workers share two cores, and tests wait for real parts.

It is no secret: what failed is printed as any failure, and once more at the end. What is random (chaos, fuzzing) gets
none: when it fails, it has found something.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

MOST = 5
NEVER = ("tests/chaos/", "tests/integration/test_fuzz.py")
_KEPT = Path(".pytest_cache", "v", "cache", "lastfailed")


def worth_it(failed: Iterable[str]) -> list[str]:
    """Those of the failed tests (pytest's ids) that are run again: all of them, or none."""
    found = sorted(failed)
    if len(found) > MOST or any("::" not in one or one.startswith(NEVER) for one in found):
        return []
    return found


def second_try(root: Path, environment: dict[str, str]) -> bool:
    """Run what the last run of pytest in `root` has noted as failed, alone; whether there was some, and all passed."""
    try:
        failed = worth_it(json.loads((root / _KEPT).read_text()))
    except (OSError, ValueError):
        return False
    if not failed:
        return False
    print(f"· {len(failed)} failed next to others: a second try, alone", flush=True)
    done = subprocess.run([sys.executable, "-m", "pytest", *failed], cwd=root, env=environment, check=False)
    if done.returncode == 0:
        for one in failed:
            print(f"! passed alone only, look at it: {one}", flush=True)
    return done.returncode == 0
