"""The pictures of the architecture page are what their sources say, name files that exist, and overlap nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "docs" / "diagrams"
sys.path.insert(0, str(ROOT / "docs"))

import diagrams  # noqa: E402  (a script of docs/)

SOURCES = sorted(FOLDER.glob("*.toml"))


def test_the_pictures_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "diagrams.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_of_the_four_ways_has_a_picture_on_the_architecture_page() -> None:
    shown = re.findall(r"\]\((docs/diagrams/[^)]+)\)", (ROOT / "ARCHITECTURE.md").read_text())
    assert sorted(shown) == [f"docs/diagrams/{path.stem}.svg" for path in SOURCES]
    assert {path.stem for path in SOURCES} == {"events-out", "events-in", "schedules", "dashboard"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_picture_is_for_light_and_dark_and_names_files_that_exist(source: Path) -> None:
    picture = source.with_suffix(".svg").read_text()
    ElementTree.fromstring(picture)  # noqa: S314  (our own file)
    assert "prefers-color-scheme: dark" in picture
    files = [
        path.relative_to(ROOT).as_posix() for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "plugin").rglob("*")]
    ]
    for box in tomllib.loads(source.read_text())["box"]:
        for word in re.findall(r"[\w/*-]+\.(?:py|js)", box["text"]):
            pattern = re.escape(word).replace(r"\*", ".*")
            assert any(re.search(rf"/{pattern}$", file) for file in files), word


def drawing(**changes: Any) -> dict[str, Any]:
    """Two boxes next to each other and an arrow."""
    boxes = [{"id": "a", "at": [0, 0], "text": "one\nfile"}, {"id": "b", "at": [1, 0], "text": "two\nfile"}]
    return {"title": "t", "columns": 3, "box": boxes, "arrow": [{"from": "a", "to": "b"}]} | changes


def test_what_can_be_read_is_drawn() -> None:
    assert diagrams.draw(drawing()).count("<rect") == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"box": [{"id": "a", "at": [0, 0], "text": "far too long for such a box\nfile"}], "arrow": []}, "too long"),
        ({"arrow": [{"from": "a", "to": "b", "label": "a label that is too long"}]}, "lies over"),
        (
            {
                "box": [*drawing()["box"], {"id": "c", "at": [2, 0], "text": "three\nfile"}],
                "arrow": [{"from": "a", "to": "c"}],
            },
            "goes through box b",
        ),
        ({"box": [*drawing()["box"], {"id": "c", "at": [0, 0], "text": "three\nfile"}]}, "lies over"),
    ],
)
def test_what_can_not_be_read_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        diagrams.draw(drawing(**changes))
