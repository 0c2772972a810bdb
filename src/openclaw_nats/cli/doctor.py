"""`openclaw-nats doctor`."""

from __future__ import annotations

import sys
from typing import Any

import click

from openclaw_nats.cli.output import Styled, json_option, line, print_json, step, words
from openclaw_nats.events.json_text import lenient

PROBLEMS = 3
_SECONDS = 10.0
_MARKS = {"ok": "✓", "note": "!", "problem": "✗"}


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Fix what can be fixed safely, then look again.")
@json_option
def command(as_json: bool, fix: bool) -> None:
    """Check everything, send a test event each way, and say how to fix each problem. Exit code 3: there is one."""
    findings = _look(quiet=as_json)
    repaired: list[str] = []
    if fix:
        repaired = _repair(findings, quiet=as_json)
        if repaired:
            findings = _look(quiet=as_json)
    problems = [one for one in findings if one.state == "problem"]
    if as_json:
        from openclaw_nats.contract.command_line import DoctorReport

        print_json(DoctorReport(not problems, repaired, [one.document() for one in findings]))
    else:
        _sum_up(findings, problems, fix=fix)
    if problems:
        sys.exit(PROBLEMS)


def _sum_up(findings: list[Any], problems: list[Any], *, fix: bool) -> None:
    """Say what is to be done; that all is well only where nothing was found, and of what was looked at."""
    line()
    if problems:
        line(f"{len(problems)} to fix:")
        for number, one in enumerate(problems, 1):
            words(Styled(f"  {number}."), one.text, indent="     ")
            words(Styled("    "), one.fix, indent="     ")
        if any(one.repair for one in problems) and not fix:
            line()
            line("`openclaw-nats doctor --fix` does the safe ones.")
        return
    looked = ", ".join(dict.fromkeys(one.check for one in findings))
    if notes := [one for one in findings if one.state == "note"]:
        words(Styled("Nothing"), f"is broken; {len(notes)} to know (marked !). Checked: {looked}.", indent="")
    else:
        words(Styled("All"), f"is well. Checked: {looked}.", indent="")


def _look(*, quiet: bool) -> list[Any]:
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.doctor.examine import examine
    from openclaw_nats.service import logs
    from openclaw_nats.settings import load

    logs.silence()
    settings = load()
    client = SidecarClient(settings)

    def read(subject: str) -> list[dict[str, Any]]:
        query = {"subject": subject, "since": "2m"}
        return [lenient(text) for text in client.lines("/api/events", query, timeout=_SECONDS)]

    def call(method: str, path: str, body: Any) -> Any:
        return client.call(method, path, body, timeout=_SECONDS)

    asked: set[str] = set()

    def waiting(what: str) -> None:
        if not quiet and what not in asked:
            asked.add(what)
            line(f"· asking {what} …", err=True)

    findings = []
    for finding in examine(settings, call, read, waiting):
        findings.append(finding)
        if not quiet:
            step(_MARKS[finding.state], finding.check, finding.text)
    return findings


def _repair(findings: list[Any], *, quiet: bool) -> list[str]:
    from openclaw_nats.errors import OpenClawNatsError

    done = []
    for one in findings:
        if one.repair is None or one.text in done:
            continue
        try:
            one.repair()
        except (OpenClawNatsError, OSError) as error:
            if not quiet:
                step("✗", "could not fix", f"{one.text}: {error}")
            continue
        done.append(one.text)
        if not quiet:
            step("+", "fixed", one.text)
    if done and not quiet:
        line()
        line("Looking again:")
    return done
