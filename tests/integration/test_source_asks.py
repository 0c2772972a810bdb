"""What `sources add` asks before it makes a route, and what `sources test` sends for each type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from openclaw_nats.cli.main import cli
from openclaw_nats.errors import InvalidInput
from openclaw_nats.sources.schemes.catalog import SCHEMES
from tests.integration.test_sources import Provider, a_secret
from tests.support.installation import Installation
from tests.support.processes import Sidecar

# Which recipes take the sample of their type; of the other types all do.
SAMPLED = {
    "github": ("issues.opened",),
    "stripe": (),
}
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


def test_the_ready_routes_of_every_type_are_shown_before_they_are_made_and_take_its_sample(
    house: Installation, tmp_path: Path
) -> None:
    secrets = tmp_path / "secret"
    (tmp_path / "calendar.ics").write_text("BEGIN:VCALENDAR\nEND:VCALENDAR\n")
    watching = {
        "files": ["--path", str(tmp_path)],
        "http": ["--url", "http://127.0.0.1:9/"],
        "command": ["--command", "true", "--every", "1h"],
        "feed": ["--url", "http://127.0.0.1:9/"],
        "calendar": ["--path", str(tmp_path / "calendar.ics")],
        "mail": ["--host", "127.0.0.1", "--tls", "none", "--user", "me", "--password-file", str(secrets)],
    }
    house.run("pause")
    made = 0
    for kind in house.run("sources", "types")["types"]:
        name, key = kind["type"], a_secret(kind["type"])
        secrets.write_text("ab" * 32 if name == "discord" else key)
        secrets.chmod(0o600)
        more = ["--unsigned"] if name == "unsigned" else ["--type", name, *watching.get(name, [])]
        more += ["--signature", '{"header": "X-Sig"}'] if name == "generic" else []
        more += ["--url", "https://bus.example.org"] if name == "twilio" else []
        more += [] if kind["makesSecret"] or kind.get("watches") else ["--secret-file", str(secrets)]
        for recipe in kind["recipes"]:
            source = f"{name}-{made}"
            words = ["sources", "add", source, *more, "--with", recipe["name"], "--wake", "main"]
            shown = CliRunner().invoke(cli, words, input="n\n", env=house.environment)
            assert isinstance(shown.exception, InvalidInput), (words, shown.output)
            line = " ".join(shown.output.split())
            assert f"{recipe['pattern']} wakes main" in line, words
            assert recipe["instruction"] in line
            assert house.sidecar.get("/api/sources")[1]["sources"] == []
            done = CliRunner().invoke(cli, [*words, "--yes", "--json"], env=house.environment)
            assert done.exception is None, (words, done.output)
            route = json.loads(done.stdout)["route"]
            assert (route["instruction"], route["guard"]) == (recipe["instruction"], "ask")
            if recipe["pattern"] in SAMPLED.get(name, (">",)) and name not in ("discord", "unsigned", *watching):
                tested = house.sidecar.call("POST", f"/api/sources/{source}/test", {})[1]
                assert tested["routes"] == [route["name"]]
            for path in (f"/api/sources/{source}", f"/api/routes/{route['name']}"):
                assert house.sidecar.call("DELETE", path)[0] == 204
            made += 1
    assert made >= len(SCHEMES) + len(watching)


def test_no_route_can_ask_for_what_waits_in_quarantine(bus: Sidecar) -> None:
    for pattern in ("agent.quarantine.>", "agent.quarantine.cam", "agent.>", "agent.*.cam", ">", "*.quarantine.>"):
        status, answer = bus.call("POST", "/api/routes", {"name": "aside", "pattern": pattern, "target": "main"})
        assert (status, answer["field"]) == (422, "pattern"), (pattern, answer)
