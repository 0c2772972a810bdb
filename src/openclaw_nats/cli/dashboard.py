"""`openclaw-nats dashboard`."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import quote, urlsplit

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.output import json_option, line, print_json, table, tell
from openclaw_nats.cli.times import moment


@click.group("dashboard", cls=Group, invoke_without_command=True)
@click.option("--no-open", is_flag=True, help="Only show the link.")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool, no_open: bool) -> None:
    """Open the dashboard, signed in, by a link that works once within two minutes."""
    if context.invoked_subcommand is not None:
        return
    links: list[str] = client().call("POST", "/api/sign-in-links")["links"]
    if as_json:
        from openclaw_nats.contract.command_line import Links

        print_json(Links(links))
        return
    opened = not no_open and _has_screen() and _open(links[0])
    line("Opened in your browser. The link, if that did not work:" if opened else "Open this in a browser:")
    line()
    line(f"  {links[0]}")
    line()
    line("It works once, within two minutes, and signs that browser in.")
    if not opened:
        port = urlsplit(links[0]).port
        line(f"From another machine: `ssh -L {port}:127.0.0.1:{port} <this machine>` first, then the same link.")


@command.command("sessions")
@json_option
def sessions_command(as_json: bool) -> None:
    """List the browsers that are signed in."""
    found: dict[str, Any] = client().call("GET", "/api/sessions")
    if as_json:
        print_json(found)
        return
    if not found["sessions"]:
        line("No browser is signed in.")
        return
    rows = [
        [one["id"], one["browser"], moment(one["madeAt"]), moment(one["seenAt"]), moment(one["endsAt"])]
        for one in found["sessions"]
    ]
    table(["SESSION", "BROWSER", "SIGNED IN", "LAST SEEN", "ENDS"], rows, below=["BROWSER", "ENDS"])


@command.command("sign-out")
@click.argument("session")
@json_option
def sign_out_command(as_json: bool, session: str) -> None:
    """Sign a browser out: SESSION as `dashboard sessions` shows it, or `all`."""
    ids = [one["id"] for one in client().call("GET", "/api/sessions")["sessions"]] if session == "all" else [session]
    for one in ids:
        client().call("DELETE", f"/api/sessions/{quote(one, safe='')}")
    from openclaw_nats.contract.command_line import SignedOut

    tell(SignedOut(len(ids)), f"{len(ids)} signed out", as_json=as_json)


def _has_screen() -> bool:
    """Whether a browser that is opened here is seen by whoever typed this."""
    if os.environ.get("SSH_CONNECTION") or not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open(link: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(link)
    except (webbrowser.Error, OSError):
        return False
