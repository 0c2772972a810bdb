#!/usr/bin/env python3
"""Draws docs/diagrams/*.toml as SVG next to them; with --check it only says which are not up to date.

A source has lanes (who runs it), boxes on a grid (`at` is column, row; the first line of `text` is bold), and arrows.
An arrow between boxes that are not in one row or column bends: `across` goes sideways first, `down` up or down first.
`shift` moves an arrow to the side, in pixels; `side = "left"` puts its label there. A text that does not fit or lies
over another one, and an arrow through a text or a box, are errors.
"""

from __future__ import annotations

import itertools
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
FOLDER = HERE / "diagrams"

# Pixels.
WIDE, HIGH = 168, 50  # a box
ACROSS, DOWN = 52, 76  # between boxes
MARGIN, HEAD = 28, 64
LANE = 14  # from a box to the edge of its lane; above it there is the lane's name, too
NAME = 18
BOLD, SMALL = 7.5, 6.3  # the widest that a character is on average, at 13 and 11 pixels

STYLE = """
  .ground { fill: #ffffff } .lane { fill: #f3f6f4; stroke: #b9c6bf; stroke-dasharray: 4 3 }
  .box { fill: #ffffff; stroke: #2f6f55; stroke-width: 1.2 } .durable { fill: #dff0e7; stroke-width: 2.4 }
  text { font: 11px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #41514a; text-anchor: middle }
  .bold { font-size: 13px; font-weight: 600; fill: #14231c } .title { font-size: 15px; font-weight: 600; fill: #14231c }
  .left { text-anchor: start } .arrow { fill: none; stroke: #2f6f55; stroke-width: 1.5 } .tip { fill: #2f6f55 }
  .label { fill: #14231c }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #11181a } .lane { fill: #182225; stroke: #42545a }
    .box { fill: #1f2b2f; stroke: #6fc7a2 } .durable { fill: #1d4534 }
    text { fill: #b4c4bd } .bold, .title, .label { fill: #eef5f1 }
    .arrow { stroke: #6fc7a2 } .tip { fill: #6fc7a2 }
  }
"""


class Area(NamedTuple):
    """A rectangle, and what it is."""

    left: float
    top: float
    right: float
    bottom: float
    what: str

    def meets(self, other: Area) -> bool:
        """Whether both have a point in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def corner(column: int, row: int) -> tuple[float, float]:
    """The left upper corner of a cell."""
    return MARGIN + LANE + column * (WIDE + ACROSS), HEAD + NAME + LANE + row * (HIGH + DOWN)


def middle(box: dict[str, Any]) -> tuple[float, float]:
    """The middle of a box."""
    left, top = corner(*box["at"])
    return left + WIDE / 2, top + HIGH / 2


def path_of(arrow: dict[str, Any], boxes: dict[str, dict[str, Any]]) -> list[tuple[float, float]]:
    """The points of an arrow, from the edge of one box to the edge of the other."""
    (x1, y1), (x2, y2) = middle(boxes[arrow["from"]]), middle(boxes[arrow["to"]])
    shift = arrow.get("shift", 0)
    right, below = (1 if x2 > x1 else -1), (1 if y2 > y1 else -1)
    if x1 == x2:
        return [(x1 + shift, y1 + below * HIGH / 2), (x2 + shift, y2 - below * HIGH / 2)]
    if y1 == y2:
        return [(x1 + right * WIDE / 2, y1 + shift), (x2 - right * WIDE / 2, y2 + shift)]
    if arrow.get("bend") == "down":
        return [(x1 + shift, y1 + below * HIGH / 2), (x1 + shift, y2), (x2 - right * WIDE / 2, y2)]
    return [(x1 + right * WIDE / 2, y1), (x2 + shift, y1), (x2 + shift, y2 - below * HIGH / 2)]


def label_of(arrow: dict[str, Any], points: list[tuple[float, float]]) -> tuple[float, float, str, Area]:
    """Where the label of an arrow goes: over its longest part or next to it; its class, its area."""
    text = arrow["label"]
    wide = len(text) * SMALL
    (x1, y1), (x2, y2) = max(itertools.pairwise(points), key=lambda one: _length(*one))
    if y1 == y2:
        x, y, kind, left = (x1 + x2) / 2, y1 - 6, "label", (x1 + x2) / 2 - wide / 2
    else:  # above the lane that begins in the middle between two rows
        left = x1 - 6 - wide if arrow.get("side") == "left" else x1 + 6
        x, y, kind = left, (y1 + y2) / 2 - 5, "label left"
    return x, y, kind, Area(left, y - 10, left + wide, y + 2, f"label {text!r}")


def _length(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def draw(source: dict[str, Any]) -> str:
    """The SVG of a source; raise ValueError when something lies over another thing."""
    boxes = {box["id"]: box for box in source["box"]}
    rows = 1 + max(box["at"][1] for box in source["box"])
    width = 2 * (MARGIN + LANE) + source["columns"] * (WIDE + ACROSS) - ACROSS
    height = HEAD + NAME + 2 * LANE + rows * (HIGH + DOWN) - DOWN + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{escape(source["title"])}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{width}" height="{height}" rx="8"/>',
        f'<text class="title left" x="{MARGIN}" y="36">{escape(source["title"])}</text>',
    ]
    areas: list[Area] = []
    for lane in source.get("lane", []):
        left, top = corner(lane["columns"][0], lane["rows"][0])
        right, bottom = corner(lane["columns"][1], lane["rows"][1])
        left, top, right, bottom = left - LANE, top - LANE - NAME, right + WIDE + LANE, bottom + HIGH + LANE
        out.append(
            f'<rect class="lane" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}" rx="6"/>'
        )
        out.append(f'<text class="left" x="{left + 10:g}" y="{top + 17:g}">{escape(lane["name"])}</text>')
        areas.append(Area(left + 10, top + 7, left + 10 + len(lane["name"]) * SMALL, top + 19, lane["name"]))
    for box in boxes.values():
        left, top = corner(*box["at"])
        areas.append(Area(left, top, left + WIDE, top + HIGH, f"box {box['id']}"))
        kind = "box durable" if box.get("durable") else "box"
        out.append(f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{WIDE}" height="{HIGH}" rx="6"/>')
        for number, (line, one) in enumerate(zip(box["text"].split("\n"), (BOLD, SMALL), strict=True)):
            if len(line) * one > WIDE - 8:
                raise ValueError(f"{line!r} is too long for a box")
            style = ' class="bold"' if number == 0 else ""
            out.append(f'<text{style} x="{left + WIDE / 2:g}" y="{top + 21 + 18 * number:g}">{escape(line)}</text>')
    labels, lines = [], []
    for arrow in source["arrow"]:
        points = path_of(arrow, boxes)
        out.append(f'<path class="arrow" d="M{" L".join(f"{x:g} {y:g}" for x, y in points)}"/>')
        out.append(f'<path class="tip" d="{_tip(*points[-2:])}"/>')
        own = (f"box {arrow['from']}", f"box {arrow['to']}", f"label {arrow.get('label')!r}")
        lines += [(_line(*pair), own) for pair in itertools.pairwise(points)]
        if "label" in arrow:
            x, y, kind, area = label_of(arrow, points)
            labels.append(f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(arrow["label"])}</text>')
            areas.append(area)
    for number, area in enumerate(areas):
        if clash := next((one for one in areas[:number] if area.meets(one)), None):
            raise ValueError(f"{area.what} lies over {clash.what}")
        if area.left < 0 or area.right > width:
            raise ValueError(f"{area.what} leaves the picture")
        if through := next((own for one, own in lines if area.what not in own and area.meets(one)), None):
            raise ValueError(f"an arrow from {through[0]} to {through[1]} goes through {area.what}")
    return "\n".join([*out, *labels, "</svg>\n"])


def _line(one: tuple[float, float], other: tuple[float, float]) -> Area:
    """What a part of an arrow covers."""
    (x1, y1), (x2, y2) = one, other
    return Area(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1, "arrow")


def _tip(before: tuple[float, float], end: tuple[float, float]) -> str:
    """The head of an arrow that ends here."""
    (x1, y1), (x, y) = before, end
    if y1 == y:
        back = -7 if x > x1 else 7
        return f"M{x:g} {y:g} l{back} -4 v8 z"
    back = -7 if y > y1 else 7
    return f"M{x:g} {y:g} l-4 {back} h8 z"


def main() -> int:
    """Write or check; the exit code is 1 when one is not up to date."""
    stale = []
    for path in sorted(FOLDER.glob("*.toml")):
        made, target = draw(tomllib.loads(path.read_text())), path.with_suffix(".svg")
        if "--check" not in sys.argv:
            target.write_text(made)
        elif not target.exists() or target.read_text() != made:
            stale.append(target.name)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run python docs/diagrams.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
