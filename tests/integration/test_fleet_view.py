"""The fleet as any sidecar sees it: who answers, who should, whom to believe; and as any NATS client finds it."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import nats
import pytest

from tests.integration.test_fleet import Fleet, fleet, identity, state
from tests.support.processes import NATS_PASSWORD, NatsServer, Sidecar, wait_until

__all__ = ["fleet"]


def members(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["gatewayId"]: one for one in found["members"]}


def share_key(one: Fleet, *folders: str) -> None:
    """Give several sidecars one identity-key, as the docs say."""
    for folder in folders:
        home = one.folder / folder / "nats"
        home.mkdir(parents=True)
        (home / "identity-key").write_text("5" * 64 + "\n")
        (home / "identity-key").chmod(0o600)


async def asked(url: str, subject: str, body: bytes = b"", seconds: float = 1.0) -> list[dict[str, Any]]:
    client = await nats.connect(url, user="openclaw-nats", password=NATS_PASSWORD)
    found: list[dict[str, Any]] = []
    inbox = client.new_inbox()

    async def take(message: Any) -> None:
        found.append(json.loads(message.data))

    await client.subscribe(inbox, cb=take)
    await client.publish(subject, body, reply=inbox)
    await asyncio.sleep(seconds)
    await client.close()
    return found


def test_every_sidecar_sees_all_and_says_who_is_missing(fleet: Fleet) -> None:
    share_key(fleet, "a", "b")
    kitchen, garage = fleet.sidecar("a", "kitchen"), fleet.sidecar("b", "garage")
    attic = fleet.sidecar("c", "attic.öst 🦀")
    for one in (kitchen, garage, attic):
        state(one, "held")
    found = members(kitchen.get("/api/fleet")[1])
    assert set(found) == {"kitchen", "garage", "attic.öst 🦀"}
    assert {name: one["proven"] for name, one in found.items()} == {
        "kitchen": True,
        "garage": True,
        "attic.öst 🦀": False,
    }
    assert all(one["nats"] == "up" and one["gateway"] == "down" and one["delivers"] for one in found.values())
    assert all(one["version"] and one["natsVersion"] for one in found.values())
    assert any("Gateway" in text for text in found["garage"]["problems"])

    done = kitchen.command("fleet")
    assert done.returncode == 1, done.stderr
    assert all(name in done.stdout for name in ("kitchen", "garage", "attic.öst 🦀"))
    assert "another identity-key" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if line.startswith(("GATEWAY", "kitchen")))
    versions = json.loads(kitchen.command("fleet", "versions", "--json").stdout)
    assert [one["behind"] for one in versions["members"]] == [[], [], []]

    assert garage.process is not None
    garage.process.send_signal(signal.SIGTERM)
    garage.process.wait(20)
    attic.kill()
    view = kitchen.get("/api/fleet")[1]
    assert set(members(view)) == {"kitchen"}
    assert {one["gatewayId"]: one["stopped"] for one in view["silent"]} == {"garage": True, "attic.öst 🦀": False}
    assert "does not answer" in kitchen.command("fleet").stdout

    attic.start()
    wait_until(lambda: "attic.öst 🦀" in members(kitchen.get("/api/fleet")[1]), 20, "the one that came back")


def test_the_second_of_a_name_is_shown_as_not_the_holder(fleet: Fleet) -> None:
    first, second = fleet.sidecar("a", "kitchen"), fleet.sidecar("b", "kitchen")
    state(first, "held")
    state(second, "refused")
    shown = [(one["gatewayId"], one["delivers"]) for one in first.get("/api/fleet")[1]["members"]]
    assert shown == [("kitchen", True), ("kitchen", False)]
    assert "not the holder" in second.command("fleet").stdout


def test_a_nats_that_comes_back_brings_the_service_back(fleet: Fleet) -> None:
    kitchen = fleet.sidecar("a", "kitchen")
    state(kitchen, "held")
    fleet.nats.kill()
    status, found = kitchen.get("/api/fleet")
    assert (status, found["members"]) == (200, [])
    assert found["lastError"]
    fleet.nats.start()
    wait_until(lambda: members(kitchen.get("/api/fleet")[1]), 30, "the view after the kill")
    stats = asyncio.run(asked(fleet.nats.url, "$SRV.STATS.openclaw-nats"))
    assert [one["name"] for one in stats] == ["openclaw-nats"]


def test_any_nats_client_finds_the_sidecars_as_services(fleet: Fleet) -> None:
    kitchen, garage = fleet.sidecar("a", "kitchen"), fleet.sidecar("b", "garage")
    state(kitchen, "held")
    state(garage, "held")
    for verb, kind in (("PING", "ping"), ("INFO", "info"), ("STATS", "stats")):
        for subject in (f"$SRV.{verb}", f"$SRV.{verb}.openclaw-nats"):
            answers = asyncio.run(asked(fleet.nats.url, subject))
            assert [one["type"] for one in answers] == [f"io.nats.micro.v1.{kind}_response"] * 2, (subject, answers)
            assert {one["metadata"]["gateway"] for one in answers} == {"kitchen", "garage"}
    info = asyncio.run(asked(fleet.nats.url, "$SRV.INFO.openclaw-nats"))
    assert {one["endpoints"][0]["name"] for one in info} == {"status"}
    status = asyncio.run(asked(fleet.nats.url, info[0]["endpoints"][0]["subject"], b"?"))
    assert {one["gatewayId"] for one in status} == {"kitchen", "garage"}
    assert NATS_PASSWORD not in json.dumps([info, status])


@pytest.mark.parametrize(
    "answer",
    [b"", b"no json", b"[" * 5000, b"{}", b'{"gatewayId": 5}', b'{"gatewayId": "' + b"x" * 40_000 + b'"}', b"\xff\xfe"],
)
def test_what_is_no_answer_is_counted_and_left_out(fleet: Fleet, answer: bytes) -> None:
    kitchen = fleet.sidecar("a", "kitchen")
    state(kitchen, "held")

    async def talk() -> dict[str, Any]:
        client = await nats.connect(fleet.nats.url, user="openclaw-nats", password=NATS_PASSWORD)

        async def say(message: Any) -> None:
            await client.publish(message.reply, answer)

        await client.subscribe("openclaw-nats.status", cb=say)
        await client.flush()
        found = await asyncio.to_thread(lambda: kitchen.get("/api/fleet")[1])
        await client.close()
        return dict(found)

    found = asyncio.run(talk())
    assert set(members(found)) == {"kitchen"}
    assert found["unreadable"] == 1
    assert kitchen.command("fleet", "--json").returncode == 1


def test_who_repeats_another_s_answer_proves_nothing(fleet: Fleet) -> None:
    share_key(fleet, "a", "b")
    kitchen, garage = fleet.sidecar("a", "kitchen"), fleet.sidecar("b", "garage")
    state(kitchen, "held")
    state(garage, "held")

    async def talk() -> dict[str, Any]:
        client = await nats.connect(fleet.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
        seen: list[Any] = []
        inbox = client.new_inbox()

        async def keep(message: Any) -> None:
            seen.append(message)

        await client.subscribe(inbox, cb=keep)
        await client.publish("openclaw-nats.status", b"known in advance", reply=inbox)
        await asyncio.sleep(1)
        forged = next(one for one in seen if json.loads(one.data)["gatewayId"] == "garage")

        async def say(message: Any) -> None:
            await client.publish(message.reply, forged.data, headers=forged.headers)

        await client.subscribe("openclaw-nats.status", cb=say)
        await client.flush()
        found = await asyncio.to_thread(lambda: kitchen.get("/api/fleet")[1])
        await client.close()
        return dict(found)

    found = [(one["gatewayId"], one["proven"]) for one in asyncio.run(talk())["members"]]
    assert sorted(found) == [("garage", False), ("garage", True), ("kitchen", True)]


@pytest.mark.parametrize("asked_on", ["$SRV.PING", "$SRV.INFO.openclaw-nats", "openclaw-nats.status"])
def test_nobody_has_an_answer_sent_where_it_would_change_something(fleet: Fleet, asked_on: str) -> None:
    kitchen = fleet.sidecar("a", "kitchen")
    state(kitchen, "held")

    async def talk() -> None:
        client = await nats.connect(fleet.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
        for reply in ("agent.events.custom.forged", "agent.schedules.job.kitchen.x", "agent.leases.kitchen"):
            await client.publish(asked_on, b"", reply=reply)
        await client.flush()
        await client.close()

    asyncio.run(talk())
    assert asyncio.run(asked(fleet.nats.url, asked_on)), "an inbox is answered, and after the others"
    assert kitchen.events("?subject=agent.events.custom.>") == []
    assert identity(kitchen)["state"] == "held"


def test_without_the_permission_only_the_view_is_missing(tmp_path: Path) -> None:
    """Users of a fleet that was set up before there was a view may not subscribe to what it needs."""
    server = NatsServer(tmp_path / "nats")
    permissions = (
        'permissions: { publish: ["agent.>", "$JS.API.>", "$JS.*.API.>", "$JS.ACK.>"], subscribe: ["_INBOX.>"] }'
    )
    old = f'authorization: {{ user: "openclaw-nats", password: "{NATS_PASSWORD}" }}'
    new = f'authorization: {{ users: [ {{ user: "openclaw-nats", password: "{NATS_PASSWORD}", {permissions} }} ] }}'
    assert old in server.config.read_text()
    server.config.write_text(server.config.read_text().replace(old, new))
    server.start()
    sidecar = Sidecar(tmp_path / "state", server)
    try:
        sidecar.start()
        assert sidecar.publish("agent.events.custom.a", 1)[0] == 200
        health = sidecar.get("/api/health")[1]
        assert (health["status"], health["nats"]["lastError"]) == ("up", "")
        status, found = sidecar.get("/api/fleet")
        assert (status, found["members"]) == (200, [])
        assert "openclaw-nats.status" in found["lastError"] or "$SRV" in found["lastError"], found
        assert "docs/how-to/fleet.md" in found["lastError"]
    finally:
        sidecar.close()
        server.close()
