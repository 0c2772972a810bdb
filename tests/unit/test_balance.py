"""How the tests themselves are shared out to workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import balance

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("path", [*balance.LONGEST_FIRST, *balance.APART])
def test_what_is_listed_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_folder_of_tests_has_a_place() -> None:
    folders = {f"tests/{path.parent.name}/" for path in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= set(balance.LONGEST_FIRST)


def test_what_waits_for_gateways_begins_before_what_is_quick() -> None:
    files = [
        "tests/unit/test_routes.py::test_x",
        "tests/integration/test_routes.py::test_x",
        "tests/gateway/test_events.py::test_x",
        "tests/chaos/test_gateway.py::test_x",
    ]
    assert sorted(files, key=balance.rank) == files[::-1]


def test_tests_on_one_gateway_stay_together_and_those_on_another_version_go_elsewhere() -> None:
    path = "tests/gateway/test_deliveries.py"
    assert balance.unit(f"{path}::test_a[2026.9.6]") == balance.unit(f"{path}::test_b[2026.9.6-x]")
    assert balance.unit(f"{path}::test_a[2026.9.6]") != balance.unit(f"{path}::test_a[2026.3.1]")
    assert balance.unit("tests/unit/test_x.py::test_a[2026.9.6]") == "tests/unit/test_x.py"
    assert balance.unit("tests/chaos/test_chaos.py::test_a") != balance.unit("tests/chaos/test_chaos.py::test_b")


def test_tests_that_go_apart_share_no_fixture() -> None:
    """Each would start it again: dearer than to wait for one another."""
    for start in balance.APART:
        for path in [ROOT / start] if start.endswith(".py") else (ROOT / start).glob("test_*.py"):
            assert not re.search(r"scope=\"(module|session|class)\"", path.read_text()), path
