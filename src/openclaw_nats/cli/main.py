"""The command group, and what happens to errors."""

from __future__ import annotations

import importlib
import io
import os
import sys
from pathlib import Path

import click

from openclaw_nats import __version__
from openclaw_nats.cli.errors import check_text, report
from openclaw_nats.cli.group import Group

COMMANDS = {
    "setup": "Set everything up: NATS, the sidecar, the plugin, the service.",
    "start": "Start the service.",
    "stop": "Stop the service.",
    "restart": "Stop the service, then start it.",
    "status": "Show what runs, since when, and what is wrong.",
    "doctor": "Check everything, and say how to fix what is wrong.",
    "backup": "Write everything into one file, while it runs.",
    "restore": "Restore a backup.",
    "migrate": "Take over from @omnixal/openclaw-nats-plugin.",
    "uninstall": "Undo setup.",
    "up": "Run nats-server and the sidecar in the foreground.",
    "dashboard": "Open the dashboard, signed in.",
    "logs": "Show the logs.",
    "events": "Print the stored events, then end.",
    "tail": "Print events as they come.",
    "publish": "Publish one event.",
    "routes": "List and change routes: which events wake which agent.",
    "pause": "Hold turns: events wait until `resume`.",
    "resume": "End a pause.",
    "approvals": "List and answer calls of tools that the guard refused.",
    "runs": "List agent runs: what woke them, their result, tools, tokens and cost.",
    "usage": "Show what turns cost: money and tokens by agent, route, model or day.",
    "audit": "Show who changed what, and check that the log of it is complete.",
    "verify": "Check that no recorded event is missing or changed.",
    "pending": "List, retry or drop deliveries in progress.",
    "dead": "List, redrive or drop dead letters.",
    "receipts": "List what was delivered.",
    "cron": "List and change cron jobs: events at set times.",
    "timers": "List, set and cancel timers: one event at one time.",
    "expect": "List and change expectations: what has to come, and what must not.",
    "key": "Change the API key: `key rotate` replaces it.",
    "keys": "List, make and revoke limited keys: publish and read on some subjects.",
    "sources": "List, make and test sources: verified webhooks, and watchers of what sends nothing.",
    "alerts": "List, make and test channels that report what is wrong.",
    "quarantine": "List, release or drop webhooks that nothing proves.",
    "receive": "Receive webhooks on a small server, for a house behind NAT.",
    "fleet": "List the sidecars on this NATS, and how each is.",
    "config": "Show or change settings.",
    "completion": "Print the completion script of a shell.",
    "demo": "Show everything with a private, real Gateway and a scripted model.",
}


class NobodyReadsError(Exception):
    """Whoever reads our output has read enough: `events | head`."""


class LazyGroup(Group):
    """A group whose commands are imported when they are used: a start takes as long as the command needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of an operator's day."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"openclaw_nats.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click would take a broken pipe for a failure (exit code 1)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise NobodyReadsError from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="openclaw-nats")
def cli() -> None:
    """The event bus for OpenClaw: every Gateway event in NATS JetStream."""


def main() -> None:
    """Run the command line; exit codes are in `output.EXIT_CODES`."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows less than UTF-8
    try:
        check_text(sys.argv[1:])
        cli.main(prog_name="openclaw-nats", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except (NobodyReadsError, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else what is left to write complains once more at the end
        sys.exit(0)
    except SystemExit:
        raise
    except BaseException as error:
        report(error, as_json="--json" in sys.argv)


def _open_what_is_closed() -> None:
    """Standard streams that the caller has closed (`>&-`) lead to /dev/null: no file of ours gets their number."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest free one
        pass
    os.close(number)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  (as long as the process lives)
