"""What `contrib/` offers fits what a running sidecar really tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.processes import Sidecar, event

ROOT = Path(__file__).resolve().parent.parent.parent
CONTRIB = ROOT / "contrib"


def known(bus: Sidecar) -> set[str]:
    """The metrics of a sidecar that has worked, with the endings that Prometheus gives them."""
    bus.post_events([event("metrics")])
    text = bus.request("GET", "/metrics")[2].decode()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    histograms = set(re.findall(r"^# TYPE (\S+) histogram", text, re.MULTILINE))
    return names | {name + "_bucket" for name in histograms}


def used(text: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\b(?:openclaw_nats|process)_[a-z_]+", text))


def test_the_board_is_what_its_script_writes_and_asks_for_metrics_that_exist(bus: Sidecar) -> None:
    subprocess.run([sys.executable, str(CONTRIB / "make_board.py"), "--check"], check=True)
    board = json.loads((CONTRIB / "grafana-board.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 20
    assert used(" ".join(expressions)) <= known(bus)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & mine, panel["title"]
        cells |= mine


def test_alert_rules_name_metrics_that_exist_and_say_what_to_do(bus: Sidecar) -> None:
    (group,) = yaml.safe_load((CONTRIB / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert used(rule["expr"]) <= known(bus), rule["alert"]
        assert rule["annotations"]["description"]
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: `python3 dev.py test` says how to get it"
    done = subprocess.run(
        [promtool, "check", "rules", str(CONTRIB / "alerts.yml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is needed: `python3 dev.py test` says how to get it"
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yml"], cwd=CONTRIB, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_in_the_reference(bus: Sidecar) -> None:
    page = (ROOT / "docs" / "reference.md").read_text()
    endings = ("_bucket", "_created")
    ours = {name for name in known(bus) if name.startswith("openclaw_nats_") and not name.endswith(endings)}
    missing = {name for name in ours if f"`{name.removesuffix('_total')}`" not in page and f"`{name}`" not in page}
    assert missing == set()
