"""The log's newest lines: found from the end, however large the file is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclaw_nats.insight import sidecar_log


def line(number: int, level: str = "info", **more: object) -> str:
    record = {"event": f"thing-{number}", "level": level, "logger": "x", "timestamp": f"2026-01-01T00:00:{number:02d}Z"}
    return json.dumps(record | more)


def test_the_newest_line_comes_first_and_the_older_file_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.log"
    file.write_text("\n".join([line(5), line(6, "warning"), line(7, "critical"), "no json", '{"level": 5}', ""]))
    (tmp_path / "sidecar.log.1").write_text(line(1, "error", route="ö") + "\n" + line(2) + "\n")
    names = [one.what for one in sidecar_log.lines(file, "info", "", 10)]
    assert names == ["thing-7", "thing-6", "thing-5", "thing-2", "thing-1"]
    assert [one.what for one in sidecar_log.lines(file, "warning", "", 10)] == ["thing-7", "thing-6", "thing-1"]
    assert sidecar_log.lines(file, "error", "", 10)[1].details == {"route": "ö"}
    assert [one.what for one in sidecar_log.lines(file, "info", "THING-6", 10)] == ["thing-6"]
    assert sidecar_log.lines(tmp_path / "none.log", "info", "", 10) == []


def test_only_as_much_is_read_as_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sidecar.log"
    with file.open("w") as text:
        for number in range(60_000):
            text.write(line(number % 60, "debug" if number % 2 else "info") + "\n")
    parsed = 0
    loads = json.loads

    def counting(text: bytes) -> object:
        nonlocal parsed
        parsed += 1
        return loads(text)

    monkeypatch.setattr(sidecar_log.json, "loads", counting)
    assert len(sidecar_log.lines(file, "info", "", 50)) == 50
    assert parsed == 50
    assert len(sidecar_log.lines(file, "warning", "", 50)) == 0
    assert parsed == 50  # lines of other levels are passed over unparsed


def test_lines_are_whole_and_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    lines = [f"{number:05d}" * 50 for number in range(2000)]
    file.write_text("\n".join(lines) + "\n")
    found = [one.decode() for one in sidecar_log.backwards(file, 1 << 30)]
    assert found == list(reversed(lines))
    part = [one.decode() for one in sidecar_log.backwards(file, 100_000)]
    assert part == list(reversed(lines))[: len(part)]
    assert 100_000 - 2 * 251 < len(part) * 251 <= 100_000
    assert [one.decode() for one in sidecar_log.backwards(file, 1 << 30, end=251 * 3)] == list(reversed(lines[:3]))
