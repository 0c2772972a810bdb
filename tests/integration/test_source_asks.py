"""What `sources add` asks before it makes a route, and what `sources test` sends for each type."""

from __future__ import annotations

import subprocess
import sys

import pytest

from openclaw_nats.sources.schemes.catalog import SCHEMES
from tests.integration.test_sources import Provider
from tests.support.installation import Installation
from tests.support.processes import Sidecar

ADD = ("sources", "add", "gh", "--type", "github", "--with", "issue-triage", "--wake", "main")


def asked(house: Installation, said: str) -> subprocess.CompletedProcess[str]:
    """The command, with an answer on its input."""
    words = [sys.executable, "-m", "openclaw_nats", *ADD]
    return subprocess.run(
        words, env=house.environment, input=said, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("said", ["n\n", "\n", ""])
def test_without_a_yes_nothing_is_made(house: Installation, said: str) -> None:
    done = asked(house, said)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "agent.events.webhook.gh.issues.opened wakes main" in done.stdout
    assert "its instruction:" in done.stdout
    assert "Make the source and this route?" in done.stdout
    assert "nothing was made" in done.stderr
    assert house.run("sources")["sources"] == []
    assert house.run("routes")["routes"] == []


def test_with_a_yes_the_source_and_its_route_are_made(house: Installation) -> None:
    done = asked(house, "y\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index("Make the source") < done.stdout.index("source gh:") < done.stdout.rindex("route gh-")
    assert [one["name"] for one in house.run("sources")["sources"]] == ["gh"]
    assert [one["pattern"] for one in house.run("routes")["routes"]] == ["agent.events.webhook.gh.issues.opened"]
    house.run("sources", "remove", "gh")


@pytest.mark.parametrize("kind", [kind for kind in SCHEMES if kind not in ("discord", "unsigned")])
def test_a_sample_of_each_type_goes_the_whole_way(bus: Sidecar, kind: str) -> None:
    provider = Provider(bus, f"try-{kind}", kind)
    for count in (1, 2):
        status, tested = bus.call("POST", f"/api/sources/{provider.name}/test", {})
        assert (status, tested["status"], tested.get("duplicate", False)) == (200, 202, False), tested
        found = [one["event"] for one in provider.stored()]
        assert len(found) == count
        assert (found[-1]["id"], found[-1]["subject"]) == (tested["id"], tested["subject"])


def test_where_a_sample_can_not_be_signed_or_proves_nothing_that_is_said(bus: Sidecar) -> None:
    key = {"name": "try-discord", "type": "discord", "secret": "ab" * 32}
    assert bus.call("POST", "/api/sources", key)[0] == 201
    status, answer = bus.call("POST", "/api/sources/try-discord/test", {})
    assert (status, "only Discord can sign" in answer["detail"]) == (400, True), answer
    assert bus.call("POST", "/api/sources", {"name": "try-cam", "type": "unsigned", "secret": "none"})[0] == 201
    status, tested = bus.call("POST", "/api/sources/try-cam/test", {})
    assert (status, tested["status"], tested["subject"]) == (200, 202, "")
    assert bus.get("/api/quarantine?source=try-cam")[1]["counts"] == {"try-cam": 1}
