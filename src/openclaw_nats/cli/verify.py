"""`openclaw-nats verify`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.output import fail_with, json_option, line, print_json, progress_line, step, table
from openclaw_nats.cli.sidecar_client import SidecarRefusal
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural, to_json

_ASK_SECONDS = 0.2
_WORDS = {
    "removed": "gone, although the stream had to keep it",
    "altered": "another event is in its place",
    "added": "not there when it was recorded",
    "replaced": "the stream was made again, or put back to an earlier state",
}


@click.command("verify")
@click.option("--since", metavar="WHEN", help="Only what was stored in the last 24h …, or since an RFC 3339 time.")
@click.option(
    "--export", type=click.Path(path_type=Path, dir_okay=False), help="Write the certificate into this file, too."
)
@json_option
def command(as_json: bool, since: str | None, export: Path | None) -> None:
    """Check that the stream holds every event that was recorded, unchanged. Exit code 1: it does not."""
    found = _made(since, quiet=as_json)
    if export is not None:
        _write(export, to_json(found) + "\n")
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["sound"]:
        sys.exit(1)


def _made(since: str | None, *, quiet: bool) -> dict[str, Any]:
    """Have a certificate made, and wait for it; one that is being made already is waited for first."""
    path = "/api/certificate" + (f"?{urlencode({'since': since})}" if since else "")
    sidecar = client()
    while True:
        try:
            sidecar.call("POST", path)
            break
        except SidecarRefusal as refusal:
            if refusal.status != 409:
                raise
            time.sleep(_ASK_SECONDS)
    while (state := sidecar.call("GET", "/api/certificate"))["running"]:
        if not quiet and state["total"]:
            progress_line(f"{state['checked']} of {plural(state['total'], 'event')}")
        time.sleep(_ASK_SECONDS)
    if not quiet:
        progress_line(" " * 40 + "\r")
    if state["failure"] or state["last"] is None:
        fail_with(
            f"the stream could not be verified: {state['failure'] or 'the sidecar ended meanwhile'}", "Repeat it.", 3
        )
    found: dict[str, Any] = state["last"]
    return found


def _show(found: dict[str, Any]) -> None:
    step(
        "✓" if found["sound"] else "✗",
        f"{plural(found['checked'], 'event')} checked, from sequence {found['first']} to {found['last']}"
        if found["checked"]
        else "no event is recorded for this time",
    )
    line(
        f"From the Gateway: {found['emitted']} emitted, {found['fromGateway']} stored, "
        f"{found['waiting']} waiting in the spool, {found['lost']} lost."
    )
    if found["kinds"]:
        table(["kind", "stored"], [[one["kind"], str(one["stored"])] for one in found["kinds"]])
    if found["expired"] or found["madeRoom"]:
        line(f"No longer there: {found['expired']} by age, {found['madeRoom']} to make room.")
    line(f"The newest record is {found['number']}, with the digest {found['digest']}.")
    if found["problem"]:
        step("✗", "Records", found["problem"])
    if found["differences"]:
        step(
            "✗",
            "Stream",
            f"{plural(found['differing'], 'event')} not as recorded; the first is {found['differences'][0]['first']}",
        )
        table(["from", "to", "stored", "what"], [_row(one) for one in found["differences"]])


def _row(one: dict[str, Any]) -> list[str]:
    return [str(one["first"]), str(one["last"]), moment(one.get("stored", "")), f"{one['what']}: {_WORDS[one['what']]}"]


def _write(path: Path, text: str) -> None:
    """A file for its owner only, in place of the one that was there."""
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        fail_with(f"{path} can't be written: {error.strerror}", "Name another file.", 1)
