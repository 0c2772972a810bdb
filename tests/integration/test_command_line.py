"""The command line as an operator uses it: 80 columns, foreign text, exit codes, names, secrets."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import nats
import pytest
from rich.cells import cell_len

from openclaw_nats.cli.main import cli
from tests.support.inbound import Bus, running_bus
from tests.support.processes import NATS_PASSWORD, wait_until

ESCAPES = "\x1b]0;pwned\x07\x1b[2J\u009b31m\u202eFAKE"
RAW = [one.encode() for one in ("\x1b]0", "\x1b[2J", "\x07", "\u009b", "\u202e")]
SECRET = "s3cret-pw"
HOOK = f"http://user:{SECRET}@127.0.0.1:9/hook?token=t0ken-value"


# Names as wide as they come: East Asian, an emoji of several characters, combining marks, no place to break at.
WIDE = ["日本語の長い名前のルートです本当に長いのです", "👨‍👩‍👧🦀👍🏽" * 8, "e\u0301" * 60, "x" * 120]


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bus]:
    with running_bus(tmp_path_factory.mktemp("cli")) as one:
        fill(one)
        yield one


def fill(bus: Bus) -> None:
    """Something in every list, with everything that a publisher may choose chosen badly."""
    bus.route("door", "agent.events.custom.door.>", "main", when="data.x == 1 || data.y.startsWith('q')")
    bus.route("a-route-with-a-name-that-is-long", "agent.events.webhook.a.b.c.d.>", "agent:coder:a-long-session-key")
    bus.route("hook", "agent.events.custom.hook.>", {"kind": "webhook", "url": HOOK})
    night = {"quietHours": {"from": "00:00", "to": "23:59"}}
    bus.route("held", "agent.events.custom.held.>", "main", flow=night)
    bus.publish("door.good", {"x": 1, "note" + ESCAPES: ESCAPES})
    bus.publish("door.bad", {"x": "text " + ESCAPES, "y": 1})
    for name in ("hook.a", "held.a"):
        bus.publish(name, {"n": 1, "text": ESCAPES}, sessionKey="agent:main:main")
    bus.call("POST", "/api/cron", {"name": "a-job-with-a-name-that-is-long", "cron": "30 8 * * MON-FRI"})
    bus.call("POST", "/api/timers", {"name": "tea", "delay": "2h"})
    event = {
        "specversion": "1.0",
        "id": ESCAPES,
        "source": ESCAPES,
        "type": "t",
        "subject": "agent.events.custom.door.c",
    }
    raw = json.dumps({**event, "sessionkey": ESCAPES, "data": {"y": ESCAPES}}).encode()

    async def send() -> None:
        link = await nats.connect(bus.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
        await link.publish("agent.events.custom.door.c", raw)
        await link.publish("agent.events.custom.\x1b[31mx\x07", b'{"x": 1}')
        await link.close()

    asyncio.run(send())
    wait_until(lambda: bus.states()["dead"] >= 1 and bus.states()["failed"] >= 1, what="a dead letter and a failure")


def run(bus: Bus, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return bus.sidecar.command(*arguments, **environment)


def in_a_terminal(bus: Bus, *arguments: str, **environment: str) -> bytes:
    """What a command writes to a terminal of 80 columns."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(  # noqa: S606
            sys.executable,
            [sys.executable, "-m", "openclaw_nats", *arguments],
            bus.sidecar.environment | {"TERM": "xterm", "COLUMNS": "80"} | environment,
        )
    out = b""
    while select.select([terminal], [], [], 30)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.waitpid(process, 0)
    os.close(terminal)
    return out


LISTS = ["events", "pending", "dead", "receipts", "routes", "cron", "timers", "status", "config", "routes export"]


def test_control_sequences_of_publishers_stay_text(bus: Bus) -> None:
    dead = str(bus.dead()[0]["id"])
    commands = [
        *LISTS,
        "events --json",
        f"dead show {dead}",
        f"dead show {dead} --json",
        "routes --json",
        "logs",
        "doctor",
    ]
    for receipt in bus.receipts()[:1]:
        commands.append(f"receipts show {receipt['id']}")
    for words in commands:
        out = in_a_terminal(bus, *words.split())
        assert not [one for one in RAW if one in out], words
    assert rb"\x1b[2J" in in_a_terminal(bus, "events")
    assert rb"\u001b[2J" in in_a_terminal(bus, "events", "--json")


def test_json_holds_the_same_text_as_the_publisher_sent(bus: Bus) -> None:
    lines = run(bus, "events", "--json", "--subject", "custom.held.a").stdout.splitlines()
    assert json.loads(lines[0])["data"] == {"n": 1, "text": ESCAPES}


def test_wide_names_fit_80_columns_too(tmp_path: Path) -> None:
    with running_bus(tmp_path) as bus:
        for number, name in enumerate(WIDE):
            bus.route(name, f"agent.events.custom.w{number}.>", f"agent:main:{'k' * 60}")
            bus.call("POST", "/api/cron", {"name": name, "cron": "30 8 * * MON-FRI"})
            bus.call("POST", "/api/timers", {"name": name, "delay": "2h"})
            bus.publish(f"w{number}.{'t' * 80}", {name: name * 3}, sessionKey=f"agent:main:{name}")
        night = {"quietHours": {"from": "00:00", "to": "23:59"}}
        bus.route(WIDE[0] + "h", "agent.events.custom.h.>", "main", flow=night)
        bus.route(WIDE[1][:80] + "d", "agent.events.custom.d.>", "main", when="data.x == 1")
        bus.publish("h.a", 1)
        bus.publish("d.a", 1)
        wait_until(lambda: bus.states()["dead"] and bus.states()["delivered"] >= 4, what="deliveries in every list")
        for words in (*LISTS[:-1], f"cron show {WIDE[3]}", "doctor", "tail"):
            if words == "tail":
                out = subprocess.Popen(
                    [sys.executable, "-m", "openclaw_nats", "tail", "--since", "1h"],
                    env=bus.sidecar.environment | {"COLUMNS": "80"}, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                assert out.stdout is not None
                lines = [out.stdout.readline() for _ in range(6)]
                out.kill()
                out.wait()
                out.stdout.close()
            else:
                lines = run(bus, *words.split(), COLUMNS="80").stdout.splitlines()
            assert lines
            wide = [line for line in lines if cell_len(line.rstrip("\n")) > 80 and " " in _foldable(line)]
            assert words.startswith("cron show") or not wide, (words, wide)  # there, values wrap


def _foldable(line: str) -> str:
    """What of a line may be folded: not its indentation and mark, and no `command`, which is there to be copied."""
    return re.sub(r"^\W*(\d+\. )?", "", re.sub(r"`[^`]*`", "", line)).strip()


@pytest.mark.parametrize("words", [*LISTS, "routes show hook", "cron show a-job-with-a-name-that-is-long"])
def test_lists_fit_80_columns(bus: Bus, words: str) -> None:
    done = run(bus, *words.split(), COLUMNS="80")
    wide = [
        line
        for line in done.stdout.splitlines()
        if cell_len(line) > 80 and " " in _foldable(line) and not line.startswith(("target", "resolved"))
    ]
    assert not wide or words == "routes export", wide
    assert done.stdout


def test_long_names_and_ids_are_whole_where_they_fit(bus: Bus) -> None:
    assert "a-job-with-a-name-that-is-long" in run(bus, "cron", COLUMNS="100").stdout
    assert str(bus.dead()[0]["id"]) in run(bus, "dead", COLUMNS="80").stdout
    listed = run(bus, "receipts", COLUMNS="80").stdout.splitlines()
    if len(listed) > 1:
        shown = run(bus, "receipts", "show", listed[1].split()[0])
        assert shown.returncode == 0, shown.stderr


def test_every_time_has_a_zone_and_one_form(bus: Bus) -> None:
    import re

    for words in ("events", "pending", "dead", "cron", "timers", "status", "logs"):
        out = run(bus, *words.split(), TZ="Europe/Berlin").stdout
        assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", out), words
        assert not re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d|\d\d:\d\d:\d\d(?![.\d:+Z-])", out.split("logs")[0]), words


def test_colours_only_in_a_terminal_that_wants_them(bus: Bus) -> None:
    assert b"\x1b[" in in_a_terminal(bus, "routes")
    assert b"\x1b[" not in in_a_terminal(bus, "routes", NO_COLOR="1")
    assert b"\x1b[" not in in_a_terminal(bus, "routes", TERM="dumb")
    assert "\x1b[" not in run(bus, "routes").stdout


def test_events_show_prints_one_whole_and_says_what_became_of_it(bus: Bus) -> None:
    line = next(line for line in run(bus, "events").stdout.splitlines() if "custom.held.a" in line)
    shown = run(bus, "events", "show", line.split()[0]).stdout
    assert "agent.events.custom.held.a" in shown
    assert "by route held: pending" in shown
    assert run(bus, "events", "show", "999999").returncode == 2


def test_a_subject_works_as_it_is_shown(bus: Bus) -> None:
    for command in ("events", "dead"):
        assert "custom.door" in run(bus, command, "--subject", "custom.door.>").stdout
    assert "custom.held.a" in run(bus, "pending", "--subject", "custom.*.a").stdout
    assert "custom.held" not in run(bus, "dead", "--subject", "custom.door.>").stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("routes show dor", 2, "Did you mean door?"),
        ("routes remove helt", 2, "Did you mean held?"),
        ("cron show a-job-with-a-name-that-is-lng", 2, "Did you mean a-job-with-a-name-that-is-long?"),
        ("timers cancel teas", 2, "Did you mean tea?"),
        ("pending --route dor", 2, "Did you mean door?"),
        ("dead --route nosuch-at-all", 2, "there is no route"),
        ("receipts --route helt", 2, "Did you mean held?"),
        ("dead show 99999", 2, "there is no delivery"),
        ("events --subject a..b", 2, "empty token"),
        ("publish custom.x {", 2, "not valid JSON"),
        ("publish custom.x hello", 2, "quotation marks"),
        ("publish custom.x NaN", 2, "not valid JSON"),
        ("publish custom.x " + "[" * 5000 + "]" * 5000, 2, "nested too deeply"),
        ("publish custom.x " + "1" * 5000, 2, "more than 4000 digits"),
        ("routes add x custom.> main --when data.x==", 2, "when"),
        ("routes apply -f /nonexistent.toml", 2, "nonexistent"),
        ("backup /nonexistent/x.tar.gz", 1, ""),
    ],
)
def test_wrong_input_ends_with_its_code(bus: Bus, words: str, code: int, said: str) -> None:
    done = run(bus, *words.split())
    assert (done.returncode, said in " ".join(done.stderr.split())) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("  ")]) <= 2  # the rest is folded


ASKS = [
    "events", "events show 1", "tail", "publish custom.a 1", "routes", "routes show a", "routes add a custom.> main",
    "routes edit a --when true", "routes enable a", "routes disable a", "routes remove a", "routes test a",
    "routes export", "pending", "pending show 1", "pending retry 1", "pending drop 1", "dead", "dead show 1",
    "dead redrive 1", "dead drop 1", "receipts", "receipts show 1", "cron", "cron show a", "cron add a @daily",
    "cron edit a --cron @daily", "cron remove a", "cron run a", "cron pause a", "cron resume a", "timers",
    "routes list", "cron list", "timers list",
    "cron list --all", "timers list --all", "cron take a --from b", "timers take a --from b",
    "timers set a 5m", "timers cancel a", "dashboard", "dashboard sessions", "dashboard sign-out x", "status",
    "pause", "resume", "approvals", "approvals list", "approvals show 1", "approvals approve 1", "approvals deny 1",
    "audit", "audit verify", "verify", "usage", "runs", "fleet", "fleet versions", "events reindex",
    "routes why a", "routes replay a --from 1h", "routes replays",
    "expect", "expect list", "expect show a", "expect add a --every 1d --by custom.a", "expect pause a",
    "expect resume a", "expect remove a", "expect test a",
    "alerts", "alerts list", "alerts show a", "alerts add a --to http://127.0.0.1:9/", "alerts test a",
    "alerts history a", "alerts pause a", "alerts resume a", "alerts remove a",
    "sources", "sources list", "sources types", "sources show a", "sources add a --type token", "sources test a",
    "sources rotate a", "sources pause a", "sources resume a", "sources remove a",
    "quarantine", "quarantine list", "quarantine show 1", "quarantine release 1", "quarantine drop 1",
]  # fmt: skip


# These do not ask the sidecar, or go on until it is back.
OTHERS = (
    "backup completion config config-get config-set demo doctor expect-apply expect-ready key-rotate keys keys-add "
    "keys-list keys-revoke keys-rotate logs migrate receive restart restore routes-apply sources-apply setup start "
    "stop tail uninstall up"
)


def leaves(group: click.Group, context: click.Context, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command, as it is typed."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield " ".join([*path, name])
            yield from leaves(command, click.Context(command, info_name=name, parent=context), (*path, name))
        else:
            yield " ".join([*path, name])


def test_the_table_of_commands_is_whole() -> None:
    known = {
        one.replace("-", " ") if one.startswith(("config", "expect", "key", "routes", "sources")) else one
        for one in OTHERS.split()
    }
    missing = [
        one
        for one in leaves(cli, click.Context(cli))
        if one not in known and not any(f"{asked} ".startswith(f"{one} ") for asked in ASKS)
    ]
    assert not missing


@pytest.mark.parametrize("words", [one for one in ASKS if one != "tail"])
def test_without_a_sidecar_every_command_ends_with_3(bus: Bus, words: str) -> None:
    done = run(bus, *words.split(), "--json", OPENCLAW_NATS_SIDECAR_URL="http://127.0.0.1:9")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)  # one document
    assert "does not answer" in (answer["sidecar"]["lastError"] if words == "status" else answer["error"])
    assert "Traceback" not in done.stderr


def test_another_key_is_named_by_every_command(bus: Bus) -> None:
    for words, code in (("status", 3), ("doctor", 3), ("routes", 1), ("publish custom.a 1", 1)):
        done = run(bus, *words.split(), NATS_PLUGIN_API_KEY="another-key-0123456789")
        assert done.returncode == code, (words, done.stderr)
        said = "".join((done.stdout + done.stderr).split())  # tables fold it, at hyphens, too
        for text in (
            "does not prove that it knows the API key: its proof is of another key",
            "`openclaw-nats restart` makes it read the key; is NATS_PLUGIN_API_KEY set here",
        ):
            assert text.replace(" ", "") in said, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    report = json.loads(run(bus, "status", "--json", NATS_PLUGIN_API_KEY="another-key-0123456789").stdout)
    assert not [part for part in ("nats", "sidecar", "plugin", "delivery") if report[part]["reachable"]]


def test_doctor_names_dead_letters_a_dead_webhook_and_refused_events(bus: Bus) -> None:
    rejected = bus.sidecar.home / "spool" / "rejected.ndjson"
    rejected.parent.mkdir(exist_ok=True)
    rejected.write_text('{"reason": "x"}\n' * 3)
    try:
        done = run(bus, "doctor")
    finally:
        rejected.unlink()
    assert done.returncode == 3
    for text in ("dead letter", "webhook http://user:***@127.0.0.1:9", "3 events were refused"):
        assert text in done.stdout, done.stdout
    assert "All is well" not in done.stdout
    assert SECRET not in done.stdout


def test_a_full_disk_is_one_line(bus: Bus, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", "routes", "--json"],
            env=bus.sidecar.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_command_and_no_answer_shows_a_webhooks_secrets(bus: Bus, tmp_path: Path) -> None:
    for words in (
        "routes",
        "routes --json",
        "routes show hook",
        "routes export",
        "pending",
        "status",
        "status --json",
        "logs",
    ):
        out = run(bus, *words.split())
        assert SECRET not in out.stdout + out.stderr, words
        assert "t0ken-value" not in out.stdout + out.stderr, words
    for path in (
        "/api/routes",
        "/api/routes/hook",
        "/api/health",
        "/api/pending",
        "/api/log/deliveries",
        "/api/settings",
    ):
        assert SECRET not in json.dumps(bus.call("GET", path)[1]), path
    assert SECRET not in (bus.sidecar.home / "logs" / "sidecar.log").read_text()
    file = tmp_path / "routes.toml"
    signed = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    target = f'{{ kind = "webhook", url = "{HOOK}", secret = "{signed}" }}'
    file.write_text(f'[[route]]\nname = "new"\npattern = "agent.events.custom.n"\ntarget = {target}\n')
    for options in ([], ["--json"]):
        out = run(bus, "routes", "apply", "-f", str(file), "--dry-run", *options).stdout
        assert "new" in out
        assert not [one for one in (SECRET, "t0ken-value", signed) if one in out], out


def test_an_edit_with_the_masked_address_keeps_the_secret(bus: Bus) -> None:
    route = bus.call("GET", "/api/routes/hook")[1]
    masked = route["target"]["url"]
    assert masked == "http://user:***@127.0.0.1:9/hook?token=***"
    for target in ({"kind": "webhook", "url": masked}, {"kind": "webhook", "url": masked.replace("/hook?", "/other?")}):
        assert bus.call("PATCH", "/api/routes/hook", {"target": target})[0] == 200
        database = (bus.sidecar.home / "sidecar.db-wal").read_bytes() + (bus.sidecar.home / "sidecar.db").read_bytes()
        assert target["url"].replace(":***@", f":{SECRET}@").replace("=***", "=t0ken-value").encode() in database
    status, problem = bus.call(
        "PATCH", "/api/routes/hook", {"target": {"kind": "webhook", "url": masked.replace("127.0.0.1", "evil.example")}}
    )
    assert (status, "secret" in problem["detail"]) == (422, True)
    assert (
        bus.call(
            "POST",
            "/api/routes",
            {"name": "copy", "pattern": "agent.events.custom.x", "target": {"kind": "webhook", "url": masked}},
        )[0]
        == 422
    )
    bus.call("PATCH", "/api/routes/hook", {"target": {"kind": "webhook", "url": masked.replace("/hook?", "/hook?")}})


def test_export_and_apply_go_round(bus: Bus, tmp_path: Path) -> None:
    for options in ([], ["--json"]):
        before = bus.call("GET", "/api/routes")[1]["routes"]
        file = tmp_path / "routes"
        file.write_text(run(bus, "routes", "export", *options).stdout)
        assert "nothing to change" in run(bus, "routes", "apply", "-f", str(file), "--yes", "--prune").stdout
        after = bus.call("GET", "/api/routes")[1]["routes"]
        assert [one["name"] for one in after] == [one["name"] for one in before]
        assert [one["target"] for one in after] == [one["target"] for one in before]
    names = [one["name"] for one in tomllib.loads(run(bus, "routes", "export").stdout)["route"]]
    assert names == sorted(one["name"] for one in before)


def test_what_is_exported_can_be_piped_back_and_names_no_secret(bus: Bus) -> None:
    secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    target = {"kind": "webhook", "url": HOOK, "secret": secret}
    bus.route("signed", "agent.events.custom.signed", target)

    def apply(text: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "openclaw_nats", "routes", "apply", "-f", "-", *options],
            env=bus.sidecar.environment, input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def stored() -> bytes:
        return (bus.sidecar.home / "sidecar.db-wal").read_bytes() + (bus.sidecar.home / "sidecar.db").read_bytes()

    exported = run(bus, "routes", "export").stdout
    assert secret not in exported
    before = bus.call("GET", "/api/routes/signed")[1]["updatedAt"]
    done = apply(exported)
    assert (done.returncode, "nothing to change" in done.stdout) == (0, True), done.stderr
    assert bus.call("GET", "/api/routes/signed")[1]["updatedAt"] == before, "nothing was sent"
    changed = exported.replace("agent.events.custom.signed", "agent.events.custom.signed2")
    assert apply(changed).returncode == 2, "nothing can be asked"
    assert "1 route changed" in apply(changed, "--yes").stdout
    assert secret.encode() in stored()
    assert b'"secret": "***"' not in stored()
    written = changed.replace('secret = "***"', f'secret = "{secret}"')
    done = apply(written, "--yes", "--dry-run")
    assert "secrets of signed would be saved" in done.stdout
    assert secret not in done.stdout
    bus.call("DELETE", "/api/routes/signed")


def test_an_empty_value_sets_a_field_back(bus: Bus) -> None:
    bus.route(
        "edited", "agent.events.custom.e", "main", when="data.a == 1", flow={"debounce": "5s", "batch": {"size": 3}}
    )
    assert run(bus, "routes", "edit", "edited", "--when", "", "--debounce", "").returncode == 0
    route: dict[str, Any] = bus.call("GET", "/api/routes/edited")[1]
    assert "when" not in route
    assert route["flow"] == {"batch": {"size": 3}}
    bus.call("DELETE", "/api/routes/edited")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("1e400", "1e400"),
        ("1.50", "1.50"),
        ("12345678901234567890123", "12345678901234567890123"),
        (r'"\ud83d"', '"\\ufffd"'),
        ('\ufeff{"ü": [1, 2]}', '{"ü": [1, 2]}'),
    ],
)
def test_publish_takes_json_as_it_is_written_and_as_the_api_does(bus: Bus, given: str, stored: str) -> None:
    done = run(bus, "publish", "custom.written", given)
    assert done.returncode == 0, done.stderr
    newest = bus.sidecar.request("GET", "/api/events?limit=1")[2].decode()
    assert json.loads(newest)["subject"] == "agent.events.custom.written"
    assert newest.rstrip().endswith(f'"data":{stored}}}')


def test_publish_says_when_nobody_takes_the_event(bus: Bus) -> None:
    assert "no route takes it" in run(bus, "publish", "custom.nobody", "1").stdout
    assert "no route takes it" not in run(bus, "publish", "agent.events.custom.held.b", "1").stdout


def complete(bus: Bus, *words: str) -> list[str]:
    """What bash's script is answered."""
    line = " ".join(["openclaw-nats", *words])
    more = {"_OPENCLAW_NATS_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    command = Path(sys.executable).with_name("openclaw-nats")
    done = subprocess.run(
        [str(command)], env=bus.sidecar.environment | more, capture_output=True, text=True, timeout=60, check=False
    )
    return [one.split(",", 1)[1] for one in done.stdout.splitlines() if "," in one]


def test_names_are_completed(bus: Bus) -> None:
    assert "held" in complete(bus, "routes", "show", "h")
    assert complete(bus, "pending", "--route", "he") == ["held"]
    assert complete(bus, "cron", "show", "a") == ["a-job-with-a-name-that-is-long"]
    assert complete(bus, "timers", "cancel", "t") == ["tea"]
    assert set(complete(bus, "config", "get", "inbox.")) >= {"inbox.keep"}


def test_logs_are_one_story(bus: Bus) -> None:
    (bus.sidecar.home / "logs" / "nats-server.log").write_text("[1] 2020/01/01 00:00:00.000000 [INF] the oldest\n")
    lines = [json.loads(line) for line in run(bus, "logs", "--json").stdout.splitlines()]
    times = [datetime.fromisoformat(line["at"]) for line in lines]
    assert times == sorted(times)
    assert lines[0]["log"] == "nats-server"
    assert {line["log"] for line in lines} == {"nats-server", "sidecar"}


def test_events_of_the_last_minute_are_the_streams(bus: Bus) -> None:
    async def send() -> None:
        link = await nats.connect(bus.nats.url, user="openclaw-nats", password=NATS_PASSWORD)
        for number in range(500):
            await link.publish("agent.events.custom.plain", json.dumps({"n": number}).encode())
        await link.flush()
        await link.close()

    asyncio.run(send())
    wait_until(
        lambda: bus.sidecar.get("/api/health")[1]["sidecar"]["eventsLastMinute"] >= 500, what="events of plain NATS"
    )


def test_delivery_is_down_while_the_gateway_is(bus: Bus) -> None:
    bus.stub.kill()
    try:
        report = wait_until(
            lambda: (found := bus.health()) and not found["reachable"] and found, 30, "delivery that is down"
        )
        assert "Gateway" in report["lastError"]
        assert report["since"]
        assert run(bus, "status").returncode == 3
    finally:
        bus.stub.start()
    wait_until(lambda: bus.health()["reachable"], 30, "delivery that is up again")


def test_the_dashboards_link_leads_to_what_answers(bus: Bus) -> None:
    report = {"pluginVersion": "0.1.0", "dashboard": "/nats-dashboard/", "spool": {}}

    def links() -> list[str]:
        assert bus.call("POST", "/api/plugin/report", report)[0] in (200, 204)
        return list(json.loads(run(bus, "dashboard", "--json").stdout)["links"])

    assert links()[0].startswith(bus.stub.url)
    bus.stub.kill()
    try:
        assert all(link.startswith(bus.sidecar.url) for link in links())
    finally:
        bus.stub.start()


def test_an_empty_list_says_whether_something_was_asked_for(tmp_path: Path) -> None:
    with running_bus(tmp_path) as empty:
        empty.route("door", "agent.events.custom.door.>", "main")
        for words, all_of_it, some_of_it in (
            ("pending", "Nothing waits: every delivery has ended.", "No delivery matches."),
            ("dead", "No dead letters.", "No delivery matches."),
            ("receipts", "No receipts yet.", "No receipt matches."),
        ):
            assert run(empty, words).stdout.strip() == all_of_it
            assert run(empty, words, "--route", "door").stdout.strip() == some_of_it
        assert run(empty, "events").stderr.strip() == "No events yet."
        assert run(empty, "events", "--since", "1h").stderr.strip() == "No event matches."
