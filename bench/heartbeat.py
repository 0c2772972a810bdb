#!/usr/bin/env python3
"""What a day costs with a heartbeat and with events: turns and prompt tokens, on a real Gateway, scripted model.

    python3 dev.py bench --heartbeat [--write]     about twelve minutes with OpenClaw downloaded

A day's 48 heartbeats are run one after another, a few seconds apart instead of half an hour; a day with 200 events is
10 bursts of 20. A token is counted as four characters of the request (messages and tools): the model is a script, and
has no tokenizer of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.gateway.test_events import VERSION  # noqa: E402
from tests.gateway.world import World  # noqa: E402
from tests.support.inbound import ROOMY, Routed  # noqa: E402
from tests.support.processes import wait_until  # noqa: E402

HEARTBEATS = 48
EVERY_SECONDS = 13  # the Gateway puts off heartbeats that come more often than five times a minute
BURSTS, BURST = 10, 20
HEADERS = ["day", "way", "turns", "prompt tokens", "an event is noticed after"]
PAGE = ROOT / "docs" / "heartbeat.md"
CHARACTERS_A_TOKEN = 4


class Day(Routed, World):
    """A Gateway for one day."""

    def requests(self) -> list[dict[str, Any]]:
        """What the model was asked so far."""
        log = self.gateway.model_log
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def tokens(requests: list[dict[str, Any]]) -> int:
    """Prompt tokens of all requests together."""
    return sum(one["characters"] for one in requests) // CHARACTERS_A_TOKEN


def config(every: str) -> dict[str, Any]:
    """A Gateway's configuration with a heartbeat."""
    return {
        "hooks": {"allowRequestSessionKey": True, "allowedSessionKeyPrefixes": ["agent:", "hook:"]},
        "agents": {"defaults": {"heartbeat": {"every": every, "target": "none"}}},
    }


def heartbeats(folder: Path) -> list[dict[str, Any]]:
    """The requests of a day's heartbeats."""
    world = Day(folder, VERSION, config(f"{EVERY_SECONDS}s"), ROOMY)
    try:
        world.start()
        wait_until(lambda: len(world.requests()) >= HEARTBEATS, HEARTBEATS * EVERY_SECONDS * 2, "a day's heartbeats")
        return world.requests()[:HEARTBEATS]
    finally:
        world.close()


def events(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """The requests of an idle day and of a day with bursts, and the longest time until a turn began, in seconds."""
    world = Day(folder, VERSION, config("0m"), ROOMY)
    try:
        world.start()
        wait_until(lambda: world.health()["plugin"]["connected"], 30, "the plugin")
        world.route("bursts", "agent.events.custom.sensor.>", "main", flow={"debounce": "1s"})
        time.sleep(EVERY_SECONDS * 3)
        idle = world.requests()
        longest = 0.0
        for burst in range(BURSTS):
            before = len(world.requests())
            for number in range(BURST):
                assert world.sidecar.publish(f"agent.events.custom.sensor.s{number}", {"burst": burst})[0] == 200
            ended = time.time()
            wait_until(lambda before=before: len(world.requests()) > before, 60, "the burst's turn")
            longest = max(longest, world.requests()[before]["time"] - ended)
            world.settled((burst + 1) * BURST, 60)
        return idle, world.requests()[len(idle) :], longest
    finally:
        world.close()


def rows() -> list[list[str]]:
    """A row a day and way."""
    with tempfile.TemporaryDirectory(prefix="bench-heartbeat-") as name:
        beats = heartbeats(Path(name) / "heartbeat")
        idle, busy, longest = events(Path(name) / "events")
    half_an_hour = "up to 30 minutes"
    beat = [f"{len(beats)}", f"{tokens(beats):,}"]
    return [
        ["idle", "heartbeat every 30 minutes", *beat, half_an_hour],
        ["idle", "events", f"{len(idle)}", f"{tokens(idle):,}", "-"],
        ["200 events in 10 bursts", "heartbeat every 30 minutes", *beat, half_an_hour],
        [
            "200 events in 10 bursts",
            'events, `debounce = "1s"`',
            f"{len(busy)}",
            f"{tokens(busy):,}",
            f"{longest:.1f} s at most, the debounce included",
        ],
    ]


def main() -> None:
    """Measure and print; with `--write` put the table into docs/heartbeat.md."""
    found = rows()
    lines = [HEADERS, ["---"] * len(HEADERS), *found]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    print(text)
    if "--write" in sys.argv:
        head, _, rest = PAGE.read_text().partition("<!-- measured -->\n")
        _, _, tail = rest.partition("<!-- /measured -->")
        date = time.strftime("%Y-%m-%d")
        PAGE.write_text(f"{head}<!-- measured -->\nMeasured on {date}:\n\n{text}\n<!-- /measured -->{tail}")


if __name__ == "__main__":
    main()
