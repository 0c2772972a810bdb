"""Nobody can use up the turns that an operator's alarm needs: neither agents nor the operator's own noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.inbound import Bus, running_bus
from tests.support.processes import wait_until

GUEST = {"agentId": "guest", "sessionKey": "agent:guest:main"}


def tool(bus: Bus, name: str, parameters: dict[str, Any]) -> tuple[int, Any]:
    return bus.call("POST", f"/api/tools/{name}", {"caller": GUEST, "parameters": parameters})


def turns(bus: Bus) -> int:
    return sum(one["route"] != "alarm" for one in bus.receipts())


@pytest.mark.parametrize("who", ["an agent", "the operator's own noise"])
def test_an_alarm_gets_its_turn_whoever_has_used_up_the_budget(tmp_path: Path, who: str) -> None:
    with running_bus(tmp_path, "[budget]\nturns_per_hour = 10\n") as bus:
        bus.route("alarm", "agent.events.alarm.>", "agent:ops:main", priority=10)
        if who == "an agent":
            for number in range(3):
                given = {"pattern": f"agent.events.custom.s{number}", "name": f"s{number}", "target": f"x{number}"}
                assert tool(bus, "nats_subscribe", given)[0] == 200
        else:
            for number in range(3):
                bus.route(
                    f"s{number}", f"agent.events.custom.s{number}", f"agent:main:x{number}", flow={"batch": {"size": 1}}
                )

        def spent() -> bool:
            for number in range(3):
                if who == "an agent":
                    tool(bus, "nats_publish", {"subject": f"agent.events.custom.s{number}", "payload": "more"})
                else:
                    bus.publish(f"s{number}", "more", priority=10)
            return any("is spent" in one["reason"] for one in bus.pending()) and bus.states()["sending"] == 0

        wait_until(spent, what="a budget that is spent")
        assert turns(bus) == (5 if who == "an agent" else 9)
        assert bus.sidecar.publish("agent.events.alarm.fire", "FIRE")[0] == 200
        wait_until(lambda: [one for one in bus.receipts() if one["route"] == "alarm"], what="the alarm's turn")
        assert any("FIRE" in text for text in bus.messages())
