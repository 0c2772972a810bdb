"""What commands print with `--json` is what the contract says, on a real sidecar with something of everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import click
import msgspec
import pytest

from openclaw_nats.cli.main import cli
from openclaw_nats.contract.command_line import PRINTED, CommandError
from tests.support.processes import NatsServer, Sidecar, wait_until


def test_every_command_with_json_says_what_it_prints() -> None:
    assert set(_with_json(cli, ())) == set(PRINTED)


def _with_json(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    if any("--json" in one.opts for one in command.params):
        yield " ".join(path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _with_json(inner, (*path, name))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A sidecar with a route, receipts, a dead letter, something pending, a job and a timer."""
    folder = tmp_path_factory.mktemp("json")
    nats = NatsServer(folder / "nats")
    nats.start()
    sidecar = Sidecar(folder / "state", nats)
    sidecar.start()
    _run(sidecar, "routes", "add", "again", "custom.door.>", "subject:agent.events.custom.again")
    _run(
        sidecar, "routes", "add", "broken", "custom.bad", "subject:agent.events.custom.other", "--template", "{{ 1/0 }}"
    )
    _run(sidecar, "routes", "add", "waits", "custom.slow", "subject:agent.events.custom.other", "--debounce", "2h")
    for subject in ("custom.door.front", "custom.bad", "custom.slow"):
        _run(sidecar, "publish", subject, "{}")
    _run(sidecar, "expect", "add", "tea", "--ready", "job-ran", "--of", "tea")
    _run(sidecar, "cron", "add", "tea", "0 8 * * *")
    _run(sidecar, "cron", "run", "tea")
    _run(sidecar, "timers", "set", "egg", "2h")
    _run(sidecar, "alerts", "add", "hook", "--to", "http://127.0.0.1:1/")
    for name, key in (("receipts", "receipts"), ("dead", "deliveries"), ("pending", "deliveries")):
        wait_until(lambda name=name, key=key: _json(sidecar, name)[key], what=name)
    yield sidecar
    sidecar.close()
    nats.close()


def _run(sidecar: Sidecar, *words: str) -> str:
    environment = {**sidecar.environment, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", "openclaw_nats", *words, "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in (0, 3), (words, done.stdout, done.stderr)
    return done.stdout


def _json(sidecar: Sidecar, *words: str) -> Any:
    return json.loads(_run(sidecar, *words))


COMMANDS = (
    "routes;routes list;routes show again;routes test again --since 1h;routes why again;routes export;"
    "routes replay again --from 1h --yes --also-webhooks;routes replay again --from 1h --dry-run --also-webhooks;"
    "routes replays;"
    "routes disable waits;"
    "routes enable waits;routes edit waits --priority 3;routes apply -f - --dry-run;cron;cron list;cron show tea;"
    "cron list --all;timers list --all;usage --by route;runs;"
    "cron pause tea;cron resume tea;cron run tea;cron edit tea --payload {};timers;timers list;pending;dead;receipts;"
    "events;events reindex;"
    "publish custom.x 1;status;doctor;logs;config;config get stream.max_age;completion bash;dashboard;"
    "dashboard sessions;audit;audit verify;verify;backup;"
    "alerts;alerts list;alerts show hook;alerts history hook;alerts pause hook;alerts resume hook;"
    "alerts add more --to http://127.0.0.1:1/;alerts remove more;"
    "expect ready;expect;expect list;expect show tea;expect test tea;expect pause tea;expect resume tea"
).split(";")


@pytest.mark.parametrize("words", COMMANDS)
def test_what_is_printed_has_its_shape(full: Sidecar, tmp_path: Path, words: str) -> None:
    given = words.split(" ")
    if words == "backup":
        given.append(str(tmp_path / "all.backup"))
    if words.startswith("routes apply"):
        file = tmp_path / "routes.json"
        file.write_text(_run(full, "routes", "export"))
        given[3] = str(file)
    _check(_name(given), _run(full, *given))


def test_what_is_shown_of_each_has_its_shape(full: Sidecar) -> None:
    for name, key in (("pending", "deliveries"), ("dead", "deliveries"), ("receipts", "receipts")):
        number = str(_json(full, name)[key][0]["id"])
        _check(f"{name} show", _run(full, name, "show", number))
    _check("events show", _run(full, "events", "show", "1"))
    _check("dead redrive", _run(full, "dead", "redrive", "--all"))
    for words in (
        "expect add x --by custom.x --after custom.a --within 1h --key data.n",
        "expect remove x",
        "timers set late 1h",
        "timers cancel late",
        "cron add late @daily",
        "cron remove late",
    ):
        _check(_name(words.split(" ")), _run(full, *words.split(" ")))


def test_an_error_has_its_shape(full: Sidecar) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "openclaw_nats", "routes", "show", "nosuch", "--json"],
        env={**full.environment, "PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    msgspec.json.decode(done.stdout, type=CommandError)


def _name(words: list[str]) -> str:
    two = " ".join(words[:2])
    return two if two in PRINTED else words[0]


def _check(name: str, text: str) -> None:
    """Every field has the declared type, and there is no other."""
    shape: Any = PRINTED[name]
    if get_origin(shape) is list:
        (inner,) = get_args(shape)
        for line in text.splitlines():
            msgspec.json.decode(line, type=inner)
        return
    found = msgspec.json.decode(text, type=shape)
    if not name.startswith("events"):  # an event may have attributes that we do not know
        assert msgspec.to_builtins(found) == json.loads(text), name
