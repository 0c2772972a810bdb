"""Every command of the command line: bad input, closed and broken outputs, words that are no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest

from openclaw_nats.cli.main import cli
from openclaw_nats.cli.output import EXIT_CODES
from tests.integration.test_command_line import ASKS, leaves
from tests.support.inbound import Bus, running_bus

PROGRAM = (sys.executable, "-m", "openclaw_nats")
COMMANDS = sorted(set(leaves(cli, click.Context(cli))))
# What may be run on a bus again and again, in any order: nothing of it ends or moves what runs.
HARMLESS = [one for one in ASKS if not one.startswith(("tail", "cron run"))]
LOCAL = ["config", "config get gateway.id", "logs", "completion bash", "doctor"]
Done = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("codes")) as one:
        one.publish("a", {"n": 1})
        yield one


def run(bus: Bus, *words: str | bytes, stdout: Any = subprocess.PIPE, **environment: str) -> Done:
    return subprocess.run(
        [*PROGRAM, *words],
        env=bus.sidecar.environment | environment,
        cwd=bus.sidecar.home,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )


def each(words: Iterable[str], check: Callable[[str], str]) -> None:
    """Check every command line, several at a time; `check` says what is wrong."""
    with ThreadPoolExecutor(4) as threads:
        wrong = [f"{one}: {found}" for one, found in zip(words, threads.map(check, words), strict=True) if found]
    assert not wrong, "\n".join(wrong)


def complaint(done: Done, codes: Iterable[int] = EXIT_CODES) -> str:
    """What is wrong with how a command ended, whatever it was; empty when nothing is."""
    said = done.stderr.decode("utf-8", "replace")
    for sign in ("Traceback", "Exception ignored", "fault of openclaw-nats"):
        if sign in said:
            return said[-600:]
    return "" if done.returncode in codes else f"it ended with {done.returncode}: {said[-300:]}"


def problem_in(done: Done) -> str:
    """What is wrong with an error in JSON: it has to be the one document on stdout, and to say something."""
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        return f"no JSON: {done.stdout[:200]!r}"
    return "" if set(answer) == {"error", "hint"} and answer["error"] else f"not an error: {answer}"


def test_an_unknown_option_is_2_and_one_document(bus: Bus) -> None:
    def check(words: str) -> str:
        done = run(bus, *words.split(), "--no-such-option", "--json")
        return complaint(done, (2,)) or problem_in(done)

    each(COMMANDS, check)


def test_a_word_too_many_is_2_and_one_document(bus: Bus) -> None:
    def check(words: str) -> str:
        done = run(bus, *words.split(), *("one", "two", "three", "four", "five", "six"), "--json")
        return complaint(done, (2,)) or problem_in(done)

    each(COMMANDS, check)


def test_a_wrong_setting_is_2_and_one_document(bus: Bus) -> None:
    def check(words: str) -> str:
        done = run(bus, *words.split(), "--json", OPENCLAW_NATS_SIDECAR_PORT="many")
        return complaint(done, (2,)) or problem_in(done)

    each([*HARMLESS, "config", "config get gateway.id", "logs", "doctor", "start", "stop", "restart", "up"], check)


def test_a_damaged_config_file_is_2_and_one_document(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "config.toml").write_bytes(b'[stream]\nmax_age = "7d\n\xff')

    def check(words: str) -> str:
        done = run(bus, *words.split(), "--json", OPENCLAW_STATE_DIR=str(tmp_path))
        return complaint(done, (2,)) or problem_in(done) or ("" if b"config.toml" in done.stdout else "unnamed")

    each(["status", "routes", "config", "config set stream.max_age 8d", "doctor", "start", "up", "logs"], check)


def test_what_works_is_one_document(bus: Bus) -> None:
    def check(words: str) -> str:
        done = run(bus, *words.split(), "--json")
        if wrong := complaint(done, (0, 1, 2, 3)):
            return wrong
        texts = done.stdout.splitlines() if words in ("events", "logs") else [done.stdout]  # a document a line
        try:
            found = [json.loads(text) for text in texts]
        except ValueError:
            return f"no JSON: {done.stdout[:200]!r}"
        return "" if done.returncode in (0, 3) or found[0].get("error") else f"{done.returncode} without an error"

    each([*HARMLESS, *LOCAL], check)


def test_a_closed_output_is_like_dev_null(bus: Bus) -> None:
    def check(words: str) -> str:
        for closing in ('exec "$@" >&-', 'exec "$@" <&- >&- 2>&-'):
            done = subprocess.run(
                ["/bin/sh", "-c", closing, "sh", *PROGRAM, *words.split()],
                env=bus.sidecar.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120, check=False,
            )  # fmt: skip
            done.stdout = b""
            if wrong := complaint(done, (0, 2, 3)):
                return wrong
        return ""

    each([*(one for one in HARMLESS if " " not in one), "routes show a", "events show 1", *LOCAL], check)


def test_a_broken_pipe_is_no_error(bus: Bus) -> None:
    def check(words: str) -> str:
        read, write = os.pipe()
        os.close(read)
        try:
            done = run(bus, *words.split(), stdout=write)
        finally:
            os.close(write)
        done.stdout = b""
        return complaint(done, (0, 2, 3))

    each([*(one for one in HARMLESS if " " not in one), "events show 1", *LOCAL], check)


def test_words_that_are_no_text_are_2_in_any_locale(bus: Bus) -> None:
    plain = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    def check(words: str) -> str:
        for environment in ({}, plain):
            done = run(bus, *words.encode().replace(b"?", b"\xff\xfe").split(), **environment)
            if wrong := complaint(done, (2,)):
                return wrong
        return ""

    names = [
        "routes show ?", "routes remove ?", "routes add ? custom.> main", "routes add a ? main", "routes test ?",
        "routes edit ? --when 1", "cron show ?", "cron add ? @daily", "cron run ?", "timers cancel ?",
        "cron take ? --from a", "cron take a --from ?", "receipts show ?", "dead show ?", "publish ? 1", "publish a ?",
        "dashboard sign-out ?", "events --subject ?", "pending --route ?", "config get ?", "config set ? 1", "?",
        "routes apply -f ?", "restore ?", "routes show a/?",
    ]  # fmt: skip
    each(names, check)


def test_names_in_any_script_work_in_any_locale(bus: Bus) -> None:
    name = "日本 é 🦀"
    for environment in ({"LC_ALL": "C", "LANG": "C"}, {"LC_ALL": "POSIX"}):
        for words in (
            ("cron", "add", name, "@daily"),
            ("cron", "show", name),
            ("cron", "list"),
            ("cron", "remove", name),
        ):
            done = run(bus, *words, **environment)
            assert complaint(done, (0,)) == "", (environment, words)
