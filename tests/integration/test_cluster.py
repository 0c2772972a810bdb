"""A cluster of three nats-servers and its leaf nodes, from the files in contrib/fleet as they stand there."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.cluster import FILES, Cluster, api, deliveries_to, run
from tests.support.processes import Sidecar, event, wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    one = Cluster(tmp_path)
    try:
        one.start()
        yield one
    finally:
        one.close()


def route(sidecar: Sidecar, pattern: str, out: str) -> None:
    target = {"kind": "subject", "subject": f"agent.events.custom.{out}"}
    status, answer = sidecar.call("POST", "/api/routes", {"name": "r", "pattern": pattern, "target": target})
    assert status == 201, answer


def cli(sidecar: Sidecar, *arguments: str) -> subprocess.CompletedProcess[str]:
    return sidecar.command(*arguments, timeout=120)


def test_users_may_do_what_they_need_and_a_publisher_reads_nothing(cluster: Cluster) -> None:
    kitchen = cluster.sidecar("kitchen")
    route(kitchen, "agent.events.custom.door.>", "out")
    seen: list[Msg] = []
    refused: list[str] = []

    async def door(client: Client) -> None:
        async def keep(message: Msg) -> None:
            seen.append(message)

        for subject in ("_INBOX.>", "_INBOX_kitchen.>", "agent.>", "$JS.>", "_INBOX_door.>"):
            await client.subscribe(subject, cb=keep)
        ack = json.loads((await client.request("agent.events.custom.door.open", b'{"n": 1}', timeout=5)).data)
        assert ack["stream"] == "agent_events"
        for subject in ("agent.events.message.received", "$JS.API.STREAM.INFO.agent_events", "_INBOX_kitchen.x"):
            await client.publish(subject, b"{}", reply="_INBOX_door.x")
        unfinished = {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"}
        for reply in (
            "agent.schedules.job.x",
            "agent.leases.kitchen",
            "agent.events.custom.garage",
            "_INBOX_kitchen.x",
        ):
            await client.publish(
                "agent.events.custom.door.open", b'{"n": 1}', reply=reply, headers={"Nats-Msg-Id": "1"}
            )
            await client.publish("agent.events.custom.door.open", b'{"n": 1}', reply=reply, headers=unfinished)
        private = event("secret", "agent.events.message.received", data={"content": "the alarm code is 4711"})
        status, _ = await asyncio.to_thread(kitchen.post_events, [private])
        assert status == 200
        await asyncio.to_thread(kitchen.events)
        await asyncio.sleep(0.5)

    async def note(error: Exception) -> None:
        refused.append(str(error))

    run(cluster.servers[1].url, "door", door, error_cb=note)
    assert all(one.subject.startswith("_INBOX_door.") for one in seen), [one.subject for one in seen]
    assert not [one for one in seen if b"4711" in one.data]
    assert sum("permissions violation" in text.lower() for text in refused) == 7, refused
    wait_until(lambda: deliveries_to(kitchen, "out") == [1, 1], what="the door's events are delivered")
    for stream in ("agent_events", "agent_schedules", "agent_leases"):
        subjects = api(cluster.url, f"STREAM.INFO.{stream}", {"subjects_filter": ">"})["state"].get("subjects") or {}
        elsewhere = {"agent.schedules.job.x", "agent.leases.kitchen", "agent.events.custom.garage"} & subjects.keys()
        assert elsewhere <= {"agent.leases.kitchen"}, subjects
        assert subjects.get("agent.leases.kitchen", 1) == 1  # the lease itself
    assert kitchen.get("/api/health")[1]["identity"]["state"] == "held"

    made = kitchen.call("POST", "/api/cron", {"name": "often", "cron": "* * * * * *"})
    assert made[0] in (200, 201), made
    wait_until(lambda: kitchen.events("?subject=agent.events.cron.often"), what="a tick")
    done = cli(kitchen, "backup", str(cluster.folder / "b.tgz"))
    assert done.returncode == 0, done.stdout + done.stderr
    garage = cluster.sidecar("garage")
    for one in (kitchen, garage):
        seen_by = {member["gatewayId"] for member in one.get("/api/fleet")[1]["members"]}
        assert seen_by == {"kitchen", "garage"}
    report = kitchen.get("/api/health")[1]
    assert report["identity"]["state"] == "held"
    assert report["nats"]["lastError"] == ""
    assert "ermission" not in (kitchen.home / "logs" / "sidecar.log").read_text()


def test_a_leaf_node_stores_its_own_events_and_the_hub_takes_each_over_once(cluster: Cluster) -> None:
    home_server = cluster.leaf("home", "home.conf")
    home = cluster.sidecar("kitchen", home_server.url, replicas=1)
    hub = cluster.sidecar("garage")
    route(hub, "agent.events.custom.door", "out")
    home.post_events([event(f"home-{number}", "agent.events.custom.door", data={"n": number}) for number in range(20)])
    hub.post_events([event(f"hub-{number}", "agent.events.custom.t", data={"n": number}) for number in range(20)])

    def stored(url: str, subject: str) -> int:
        answer = api(url, "STREAM.INFO.agent_events", {"subjects_filter": subject})
        return int((answer["state"].get("subjects") or {}).get(subject, 0))

    assert stored(home_server.url, "agent.events.custom.door") == 20
    assert stored(cluster.url, "agent.events.custom.door") == 0
    config = api(cluster.url, "STREAM.INFO.agent_events")["config"]
    config["sources"] = [*config.get("sources", []), json.loads((FILES / "source-home.json").read_text())]
    answer = api(cluster.url, "STREAM.UPDATE.agent_events", config)
    assert "error" not in answer, answer
    wait_until(lambda: stored(cluster.url, "agent.events.custom.door") == 20, 30, "home's events at the hub")
    wait_until(lambda: deliveries_to(hub, "out") == list(range(20)), 30, "a route at the hub")
    hub.kill()
    hub.start()  # which looks at the stream: the source stays
    home.post_events([event("home-20", "agent.events.custom.door", data={"n": 20})])
    wait_until(lambda: deliveries_to(hub, "out") == list(range(21)), 30, "once, and after a restart, too")
    assert stored(cluster.url, "agent.events.custom.door") == 21
    assert stored(home_server.url, "agent.events.custom.door") == 21
    assert stored(home_server.url, "agent.events.custom.t") == 0


def test_a_sidecar_behind_a_leaf_without_jetstream_stores_at_the_hub(cluster: Cluster) -> None:
    edge_server = cluster.leaf("edge", "edge.conf")
    lost = cluster.sidecar("garage", edge_server.url, start=False)
    lost.start(wait=False)
    wait_until(lambda: "nats.domain" in lost.get("/api/health")[1]["nats"]["lastError"], 20, "the setting is named")
    edge = cluster.sidecar("kitchen", edge_server.url, "hub")
    route(edge, "agent.events.custom.in", "out")
    for number in range(5):
        assert edge.publish("agent.events.custom.in", {"n": number})[0] == 200
    wait_until(lambda: deliveries_to(edge, "out") == list(range(5)), 30, "delivered at the edge")
    assert api(cluster.url, "STREAM.INFO.agent_events")["state"]["messages"] >= 10
    made = edge.call("POST", "/api/timers", {"name": "tea", "delay": "2s"})
    assert made[0] in (200, 201), made
    wait_until(lambda: edge.events("?subject=agent.events.timer.tea"), 20, "a timer set at the edge")


def test_without_a_quorum_health_is_down_and_everything_goes_on_afterwards(cluster: Cluster) -> None:
    sidecar = cluster.sidecar("kitchen")
    route(sidecar, "agent.events.custom.in", "out")
    assert sidecar.publish("agent.events.custom.in", {"n": 1})[0] == 200
    leader = cluster.leader("agent_events")
    others = [server for server in cluster.servers if server is not leader]
    for server in others:
        server.kill()

    def down() -> bool:
        status, _ = sidecar.get("/api/health")
        return status == 503

    wait_until(down, 30, "health without a quorum")
    assert sidecar.publish("agent.events.custom.in", {"n": 2})[0] == 503
    assert sidecar.metric("openclaw_nats_nats_up") == 0
    for server in others:
        server.start()
    wait_until(lambda: sidecar.get("/api/health")[0] == 200, 60, "health with a quorum again")
    wait_until(lambda: sidecar.publish("agent.events.custom.in", {"n": 3})[0] == 200, 30, "publishing again")
    wait_until(lambda: {1, 3} <= set(deliveries_to(sidecar, "out")), 40, "delivery again")
    report = sidecar.get("/api/health")[1]
    assert report["sidecar"]["lastError"] == ""
    assert report["identity"]["state"] == "held"


def test_a_server_that_is_too_old_to_lead_schedules_is_named_wherever_we_are_connected(tmp_path: Path) -> None:
    one = Cluster(tmp_path, ("2.12.8", "", ""))
    try:
        one.start()
        sidecar = one.sidecar("kitchen", one.servers[2].url)
        wait_until(lambda: any("several versions" in text for text in _notes(sidecar)), 30, "the versions are noted")
        (note,) = [text for text in _notes(sidecar) if "several versions" in text]
        assert "2.12.8: hub-1" in note
        schedules: dict[str, Any] = sidecar.get("/api/health")[1]["schedules"]
        assert not schedules["available"]
        assert "2.12.8 (hub-1)" in schedules["lastError"]
        assert sidecar.call("POST", "/api/timers", {"name": "tea", "delay": "2s"})[0] in (501, 503)
        assert sidecar.publish("agent.events.custom.x", 1)[0] == 200
        assert "hub-1" in cli(sidecar, "status").stdout
        one.servers[0].kill()
        one.servers[0].binary = one.servers[1].binary  # the upgrade
        one.servers[0].start()
        sidecar.kill()
        sidecar.start()
        wait_until(lambda: sidecar.get("/api/health")[1]["schedules"]["available"], 30, "schedules after the upgrade")
    finally:
        one.close()


def _notes(sidecar: Sidecar) -> list[str]:
    return list(sidecar.get("/api/health")[1]["nats"]["notes"])


def test_the_files_need_every_password(tmp_path: Path) -> None:
    """nats-server does not start with an empty password for somebody."""
    one = Cluster(tmp_path)
    try:
        del one.servers[0].environment["DOOR_PASSWORD"]
        with pytest.raises(AssertionError, match="DOOR_PASSWORD"):
            one.servers[0].start()
    finally:
        one.close()
