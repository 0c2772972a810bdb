"""The present version starts on what 0.1.0 left behind (tests/support/old_state.py made it with the code of 0.1.0)."""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from pathlib import Path

from tests.support import old_state
from tests.support.archives import unpack
from tests.support.inbound import Bus
from tests.support.processes import wait_until


def acted_on(bus: Bus) -> Counter[str]:
    """How often the Gateway was told of each event."""
    return Counter(f"id-{number}" for number in re.findall(r'"number":(\d+)', "\n".join(bus.messages())))


def ids(which: range) -> list[str]:
    return [f"id-{number}" for number in which]


def test_nothing_of_0_1_0_is_lost_and_what_waits_goes_out_once(tmp_path: Path) -> None:
    with tarfile.open(old_state.ARCHIVE) as archive:
        unpack(archive, tmp_path)
    before = json.loads((tmp_path / "before.json").read_text())
    bus = Bus(tmp_path, old_state.SETTINGS)
    bus.sidecar.environment |= old_state.GATEWAY
    try:
        bus.nats.start()
        bus.sidecar.start()  # the Gateway is away: everything is still as 0.1.0 left it
        assert json.loads(json.dumps(old_state.said(bus))) == before
        bus.stub.start()
        waiting = ids(old_state.numbers(300, old_state.WAITING))
        wait_until(lambda: acted_on(bus) == Counter(waiting), 60, "what waits for the Gateway")
        assert bus.call("PATCH", "/api/routes/off", {"enabled": True})[0] == 200
        off = ids(old_state.numbers(400, old_state.OFF))
        wait_until(lambda: acted_on(bus) == Counter(waiting + off), 60, "what waits for its route")
        status, answer = bus.call("POST", "/api/dead/redrive", {})
        assert status == 200, answer
        broken = ids(old_state.numbers(200, old_state.DEAD))
        wait_until(lambda: acted_on(bus) == Counter(waiting + off + broken), 60, "the dead letters")
        wait_until(lambda: not bus.pending(), what="the end of all deliveries")
        after = old_state.said(bus)
        assert after["dead"] == []
        assert set(before["receipts"]) < set(after["receipts"])
        assert [one for one in after["events"] if one.startswith("id-")] == before["events"]
        assert bus.call("POST", "/api/cron/leap%2Fday/run")[0] == 200
        leap = "?subject=agent.events.custom.leap"
        wait_until(lambda: bool(bus.sidecar.events(leap)), what="the job's tick")
        assert [one["data"]["n"] for one in bus.sidecar.events(leap)] == [1]
        # A restart repeats nothing: the present version's own state is whole, too.
        bus.sidecar.signal(15)
        bus.sidecar.start()
        bus.publish("done.x", {"n": 1})
        wait_until(lambda: len(bus.receipts()) > len(after["receipts"]), what="a new event's receipt")
        assert acted_on(bus) == Counter(waiting + off + broken)
    finally:
        bus.close()
