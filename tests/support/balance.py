"""Which worker runs which tests: what takes long begins first, and what shares nothing goes apart.

pytest-xdist begins with the files that have the most tests. Those are the quick ones: what waits for real Gateways for
minutes would come last, on one worker, while the others have nothing left.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadFileScheduling

# Measured with --durations; where a file is not named, its folder counts. Only the order matters, not the numbers.
LONGEST_FIRST = (
    "tests/chaos/test_gateway.py",
    "tests/chaos/test_approvals_gateway.py",
    "tests/gateway/test_versions.py",
    "tests/gateway/test_setup_again.py",
    "tests/gateway/test_targets.py",
    "tests/gateway/test_migrate.py",
    "tests/gateway/test_doctor.py",
    "tests/gateway/",
    "tests/browser/",
    "tests/chaos/",
    "tests/integration/test_docker.py",
    "tests/integration/",
    "tests/contract/",
    "tests/unit/",
)
# Their tests share no fixture: each is a unit of its own.
APART = ("tests/chaos/", "tests/gateway/test_demo.py", "tests/gateway/test_versions.py")
_VERSION = re.compile(r"20\d\d\.\d+\.\d+")


def rank(nodeid: str) -> int:
    """The place of a test in the order: what takes longest has the lowest."""
    return next((place for place, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start)), len(LONGEST_FIRST))


def unit(nodeid: str) -> str:
    """What one worker runs in one go: a file's tests on one OpenClaw version, since they share its Gateway."""
    path, _, test = nodeid.partition("::")
    if nodeid.startswith(APART):
        return nodeid
    version = _VERSION.search(test) if path.startswith("tests/gateway/") else None
    return f"{path}::{version[0]}" if version else path


class Balanced(LoadFileScheduling):
    """Hands out units; their order is that of the tests (`--no-loadscope-reorder`)."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)
