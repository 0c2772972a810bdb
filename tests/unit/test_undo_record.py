"""What a setup writes down before it changes anything, read by another release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclaw_nats.installer import undo
from openclaw_nats.locations import Locations

RECORD = {
    "pid": 1,
    "home_existed": True,
    "names": ["config.toml"],
    "service": "detached",
    "service_before": "",
    "running": False,
    "installed": False,
    "plugin": "",
    "config_path": "/x/openclaw.json",
    "digest": "d",
    "files": [],
}


def written(folder: Path, record: dict[str, object]) -> undo.Before | None:
    where = Locations(folder)
    where.undo.mkdir(parents=True)
    (where.undo / "before.json").write_text(json.dumps(record))
    return undo.read(where)


def test_a_release_that_noted_more_is_undone_all_the_same(tmp_path: Path) -> None:
    """0.1.0 noted whether the Gateway ran; what it changed must not stay for that."""
    found = written(tmp_path, RECORD | {"gateway_running": True})
    assert found is not None
    assert found.names == ["config.toml"]


@pytest.mark.parametrize("missing", [name for name in RECORD])
def test_a_record_that_lacks_something_is_not_used(tmp_path: Path, missing: str) -> None:
    assert written(tmp_path, {name: value for name, value in RECORD.items() if name != missing}) is None
