"""`openclaw-nats demo`."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import click

from openclaw_nats.cli.output import Styled, block, line, progress_line


@click.command("demo")
@click.option("--openclaw-version", default="latest", show_default=True, help="OpenClaw release from npm.")
@click.option("--once", is_flag=True, help="End after the show instead of waiting for Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print the events as CloudEvents, one a line.")
def command(openclaw_version: str, once: bool, as_json: bool) -> None:
    """Show everything: a private, real Gateway with a scripted model works, its events are printed as they are stored.

    Downloads Node and OpenClaw on the first run (about 700 MB, a minute or two). Leaves nothing running.
    """
    from openclaw_nats.demo.show import Demo, events_printed, run_turns, wait_for_sidecar, wake_the_agent

    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    demo = Demo(openclaw_version, _progress(), lambda text: line(f"· {text}", err=True))
    with demo.running() as gateway:
        wait_for_sidecar(demo.sidecar_url)
        line(f"✓ up after {time.monotonic() - began:.0f} s. The agent works; these are its events:", err=as_json)
        line(err=as_json)
        with events_printed(demo, as_json=as_json):
            say = partial(_heading, as_json=as_json)
            asyncio.run(run_turns(gateway, say))
            asyncio.run(wake_the_agent(demo, gateway, say))
            time.sleep(1)
            if not as_json:
                _where_next(demo)
            if not once and sys.stdin.isatty():
                line("Ctrl-C ends the demo and deletes it.")
                while True:
                    time.sleep(1)
    line("✓ the demo is gone: nothing runs, nothing was left behind but the downloads", err=as_json)


def _heading(what: str, *, as_json: bool) -> None:
    line(Styled(f"── {what}", fg="yellow"), err=as_json)


def _where_next(demo: Any) -> None:
    command = Path(sys.executable).with_name("openclaw-nats")
    shown = "openclaw-nats" if shutil.which("openclaw-nats") == str(command) and "venv" not in str(command) else command
    state = f"OPENCLAW_STATE_DIR={demo.environment['OPENCLAW_STATE_DIR']}"
    block(
        f"""
Where to look next (while the demo runs, in another terminal):
  {state} {shown} status
  {state} {shown} publish agent.events.custom.door.back '{{"open": true}}'
  {state} {shown} receipts
  {state} {shown} dashboard
With your own OpenClaw: `openclaw-nats setup`. The README explains the rest.
""",
        indent="",
    )


def _progress() -> Any:
    shown: dict[str, int] = {}

    def progress(what: str, seconds: float) -> None:
        if sys.stderr.isatty():
            progress_line(f"· getting {what} … {seconds:.0f} s ")
        elif int(seconds) // 10 > shown.get(what, -1):
            shown[what] = int(seconds) // 10
            line(f"· getting {what} … {seconds:.0f} s", err=True)

    return progress


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
