"""A program that is watched: its lines and its end are events; it ends with the sidecar, and learns nothing of ours."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from openclaw_nats.events.envelope import format_seconds
from tests.support.browser import Visitor, sign_in_code
from tests.support.installation import Installation
from tests.support.processes import NatsServer, Sidecar, wait_until
from tests.support.watching import awaited, runs, stored


def made(bus: Sidecar, name: str, *command: str, every: str = "1h") -> None:
    options = {"command": {"command": list(command), "every": every}}
    status, answer = bus.call("POST", "/api/sources", {"name": name, "type": "command", "options": options})
    assert status == 201, answer


def lines(bus: Sidecar, name: str) -> list[Any]:
    return [one["data"]["line"] for one in stored(bus, name, "line")]


def alive(mark: str) -> list[int]:
    """The processes that have a text in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if mark in " ".join(process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def test_lines_and_the_end_are_events(bus: Sidecar) -> None:
    script = "printf 'one\\r\\n\\nt\\377wo\\n'; echo not this >&2; printf 'no end'"
    made(bus, "lines", "sh", "-c", script)
    (ended,) = awaited(bus, "lines", 1, "exited")
    assert lines(bus, "lines") == ["one", "t\ufffdwo", "no end"]
    assert [one["data"]["number"] for one in stored(bus, "lines", "line")] == [1, 3, 4]
    assert (ended["data"]["code"], ended["data"]["lines"], ended["data"]["error"]) == (0, 4, "not this")
    assert {one["data"]["run"] for one in stored(bus, "lines")} == {ended["data"]["run"]}
    runs(bus, "lines")


def test_no_shell_reads_the_words_and_the_environment_holds_none_of_ours(tmp_path: Path) -> None:
    nats = NatsServer(tmp_path / "nats-server")
    nats.start()
    one = Sidecar(tmp_path / "state", nats)
    one.environment |= {"MY_SECRET": "hush-1", "NATS_TOKEN": "hush-2", "OPENCLAW_NATS_LOG_LEVEL": "info"}
    one.start()
    try:
        made(one, "words", "echo", "$HOME; rm -rf /nowhere", "*")
        awaited(one, "words", 1, "exited")
        assert lines(one, "words") == ["$HOME; rm -rf /nowhere *"]
        made(one, "env", "env")
        awaited(one, "env", 1, "exited")
        names = {text.partition("=")[0] for text in lines(one, "env")}
        assert "PATH" in names
        assert names <= {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}
        made(one, "input", "cat")  # there is nobody to type
        awaited(one, "input", 1, "exited")
    finally:
        one.close()
        nats.close()


def test_a_program_that_fails_is_a_failure_with_its_code_and_is_run_again(bus: Sidecar, tmp_path: Path) -> None:
    program = tmp_path / "check"
    program.write_text("#!/bin/sh\necho 'no such disk' >&2\nexit 3\n")
    program.chmod(0o755)
    made(bus, "check", str(program), every="1s")
    state = runs(bus, "check", "failing")
    assert state["reason"] == "the command ended with 3: no such disk"
    awaited(bus, "check", 2, "exited")
    assert "ended with 3: no such disk" in bus.call("POST", "/api/sources/check/test")[1]["detail"]
    program.write_text("#!/bin/sh\necho well\n")
    runs(bus, "check")
    assert "first: well; it ended with 0" in bus.call("POST", "/api/sources/check/test")[1]["sees"]
    program.unlink()
    assert "no such file" in runs(bus, "check", "failing")["reason"].lower()
    bus.call("DELETE", "/api/sources/check")
    options = {"command": {"command": ["no-such-program-here"]}}
    status, answer = bus.call("POST", "/api/sources", {"name": "none", "type": "command", "options": options})
    assert (status, answer["field"]) == (400, "options.command.command")


def test_a_restart_is_no_reason_to_run_it_again(bus: Sidecar) -> None:
    made(bus, "daily", "echo", "once", every="1d")
    awaited(bus, "daily", 1, "exited")
    for _ in range(2):
        bus.kill()
        bus.start()
        runs(bus, "daily")
    time.sleep(1)
    assert len(stored(bus, "daily", "exited")) == 1
    bus.call("DELETE", "/api/sources/daily")


def test_a_failure_stays_one_until_it_runs_again(bus: Sidecar) -> None:
    made(bus, "fails", "sh", "-c", "echo no disk >&2; exit 4", every="1d")
    for _ in range(2):
        state = runs(bus, "fails", "failing")
        assert state["reason"] == "the command ended with 4: no disk"
        assert state["nextTry"] > format_seconds(time.time() + 23 * 3600)  # and not after an hour at most
        bus.kill()
        bus.start()
    assert len(stored(bus, "fails", "exited")) == 1
    bus.call("DELETE", "/api/sources/fails")


def test_a_flood_and_an_endless_line_are_bounded(bus: Sidecar) -> None:
    made(
        bus, "long", "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf 'a\\n'; head -c 20000 /dev/zero"
    )
    awaited(bus, "long", 1, "exited")
    first, second, third = [one["data"] for one in stored(bus, "long", "line")]
    assert (len(first["line"]), first["truncated"]) == (16384, True)
    assert second["line"] == "a"
    assert third["truncated"] is True
    process = psutil.Process(bus.process.pid if bus.process else 0)
    before, began = process.memory_info().rss, time.monotonic()
    made(bus, "flood", "yes", "a line that never ends")
    time.sleep(8)
    count, took = len(stored(bus, "flood", "line")), time.monotonic() - began
    assert 500 < count < 1000 + 100 * took + 500
    assert process.memory_info().rss - before < 100 << 20
    began = time.monotonic()
    assert bus.call("DELETE", "/api/sources/flood")[0] == 204
    assert time.monotonic() - began < 6
    wait_until(lambda: not alive("a line that never ends"), 5, "yes to end")


@pytest.mark.parametrize("ending", ["kill", "term", "pause"])
def test_it_ends_with_the_sidecar_and_with_all_that_it_has_started(sidecar: Sidecar, ending: str) -> None:
    mark = f"98765{os.getpid()}{len(ending)}"
    script = f"trap '' TERM; n=0; sleep {mark} & while true; do n=$((n+1)); echo $n; sleep 0.02; done"
    try:
        made(sidecar, "tree", "sh", "-c", script)
        awaited(sidecar, "tree", 20, "line")
        assert len(alive(mark)) == 3  # the keeper, the shell, and what it has started
        if ending == "pause":
            sidecar.call("PATCH", "/api/sources/tree", {"paused": True})
        else:
            sidecar.signal(signal.SIGKILL if ending == "kill" else signal.SIGTERM)
        wait_until(lambda: not alive(mark), 10, "its processes to end")
        if ending == "pause":
            return
        sidecar.start()
        awaited(sidecar, "tree", 40, "line")
        sidecar.signal(signal.SIGTERM)
        sidecar.start()
        by_run = defaultdict(list)
        for event in stored(sidecar, "tree", "line"):
            by_run[event["data"]["run"]].append(event["data"]["number"])
        assert len(by_run) >= 2
        for numbers in by_run.values():  # without a gap, and none twice
            assert numbers == list(range(1, len(numbers) + 1))
        ends = [event["data"] for event in awaited(sidecar, "tree", 2, "exited")]
        assert [end["code"] for end in ends][:2] == [None, None]
        assert len({end["run"] for end in ends}) == len(ends)
    finally:
        sidecar.close()
        wait_until(lambda: not alive(mark), 10, "its processes to end")


def test_only_the_operator_has_a_program_run(house: Installation) -> None:
    words = ("sources", "add", "run", "--type", "command", "--command", "id -u")
    house.environment["OPENCLAW_SHELL"] = "exec"  # as in an agent's shell
    assert "an agent may not" in house.run(*words, code=2)["error"]
    del house.environment["OPENCLAW_SHELL"]
    options = {"command": {"command": ["id"]}}
    wanted = {"name": "run", "type": "command", "options": options}
    key = house.run("keys", "add", "lim", "--publish", "custom.>")["key"]
    body = json.dumps(wanted).encode()
    assert house.sidecar.request("POST", "/api/sources", body, {"Content-Type": "application/json"}, key=key)[0] == 403
    browser = Visitor(f"{house.sidecar.url}/dashboard")
    browser.sign_in(sign_in_code(house.sidecar))
    status, answer = browser.call("POST", "/api/sources", wanted)
    assert (status, "command line" in answer["detail"]) == (403, True)
    assert house.run("sources")["sources"] == []
    assert house.run(*words)["source"]["options"] == {"command": {"command": ["id", "-u"]}}
    assert browser.call("PATCH", "/api/sources/run", {"options": options})[0] == 403
    assert browser.call("PATCH", "/api/sources/run", {"paused": True})[0] == 200
