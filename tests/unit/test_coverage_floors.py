"""The floors of coverage: which package a file belongs to, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import openclaw_nats
from tests.support.coverage_floors import FLOORS, ROOT, faults, package_of, reached

SOURCES = Path(openclaw_nats.__file__).parent
WORKFLOW = Path(__file__).resolve().parent.parent.parent / ".github" / "workflows" / "ci.yml"


def file(covered: int, total: int) -> dict[str, Any]:
    """A file with as many branches as lines."""
    names = {"covered_lines": covered, "covered_branches": covered, "num_statements": total, "num_branches": total}
    return {"summary": names}


def test_every_package_has_a_floor_that_can_be_missed() -> None:
    packages = {path.parent.name for path in SOURCES.glob("*/__init__.py")}
    assert {ROOT, *packages} == set(FLOORS)
    assert all(0 < floor <= 100 for floor in FLOORS.values())


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("src/openclaw_nats/errors.py", ROOT),
        ("src/openclaw_nats/cli/main.py", "cli"),
        ("/home/openclaw_nats/src/openclaw_nats/cli/main.py", "cli"),
        ("src/openclaw_nats/installer/container/x.py", "installer"),
    ],
)
def test_a_file_counts_for_the_folder_below_the_root(path: str, package: str) -> None:
    assert package_of(path) == package


def test_files_count_by_their_size_and_branches_like_lines() -> None:
    report = {"files": {"src/openclaw_nats/cli/a.py": file(30, 30), "src/openclaw_nats/cli/b.py": file(0, 10)}}
    assert reached(report) == {"cli": 75.0}


def test_below_the_floor_without_one_or_not_measured_is_refused() -> None:
    floors = {"cli": 50, "api": 50}
    assert faults({"cli": 50.0, "api": 50.0}, floors) == []
    assert faults({"cli": 49.9, "api": 50.0}, floors) == ["cli: 49.9 %, its floor is 50 %"]
    assert [text[:4] for text in faults({"cli": 50.0, "new": 99.0}, floors)] == ["new:", "api:"]


def test_ci_holds_them() -> None:
    assert "python3 dev.py test --coverage" in WORKFLOW.read_text()
