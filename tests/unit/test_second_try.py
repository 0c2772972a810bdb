"""Which tests get a second try, and that one which fails again has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.second_try import MOST, second_try, tries, worth_it

ONCE = """
import pathlib

def test_once():
    mark = pathlib.Path("failed-once")
    if not mark.exists():
        mark.touch()
        assert False

def test_well():
    pass
"""
ALWAYS = "def test_always():\n    assert False\n"


def test_a_few_tests_are_run_again_and_never_what_fuzzing_found() -> None:
    few = [f"tests/unit/test_a.py::test_{number}" for number in range(MOST)]
    assert worth_it(reversed(few)) == few
    assert worth_it([*few, "tests/unit/test_a.py::test_more"]) == []
    assert worth_it(["tests/integration/test_fuzz.py::test_any[GET /api/health]"]) == []
    assert worth_it(["tests/unit/test_broken.py"]) == []  # it could not be collected
    assert worth_it([]) == []


def test_what_kills_at_random_moments_has_to_pass_three_times() -> None:
    few = ["tests/chaos/test_chaos.py::test_kills", "tests/unit/test_a.py::test_1"]
    assert tries(few) == [few, few[:1], few[:1]]
    assert tries(few[1:]) == [few[1:]]


@pytest.mark.parametrize(
    ("files", "passes"),
    [({"test_a.py": ONCE}, True), ({"test_a.py": ONCE, "test_b.py": ALWAYS}, False), ({"test_b.py": ALWAYS}, False)],
)
def test_one_that_fails_again_has_failed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], files: dict[str, str], *, passes: bool
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take seconds to load
    assert second_try(tmp_path, environment) is False  # nothing is known of a run before
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    first = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=environment, check=False)
    assert first.returncode == 1
    assert second_try(tmp_path, environment) is passes
    assert ("! passed alone only, look at it: test_a.py::test_once" in capfd.readouterr().out) is passes
