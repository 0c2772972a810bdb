"""On which OpenClaw releases a test runs: on the newest always, on older ones with `dev.py test --all`.

Setup, events, a delivery, doctor and uninstall run on an old, a middle and the newest release every time
(tests/gateway/test_versions.py).
"""

from __future__ import annotations

from typing import Any

import pytest


def newest_first(newest: Any, *older: Any) -> list[Any]:
    """Parameters of a fixture."""
    return [newest, *(pytest.param(one, marks=pytest.mark.nightly) for one in older)]
