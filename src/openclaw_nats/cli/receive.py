"""`openclaw-nats receive`: the front door on a small server, for a house behind NAT."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.output import Styled, json_option, line, print_json, words

if TYPE_CHECKING:
    from openclaw_nats.service.receiver_file import Receiver


@click.command("receive")
@click.option(
    "--config",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="TOML: where it listens, its NATS, and [[source]] tables.",
)
@click.option("--show", is_flag=True, help="Print the addresses of its sources, then end.")
@json_option
def command(as_json: bool, path: Path, show: bool) -> None:
    """Receive webhooks on a small server, and hand them over to the bus of a house behind NAT.

    It runs in the foreground until Ctrl-C, logs JSON lines to stderr, and reads its sources again at SIGHUP.
    """
    from openclaw_nats.service import logs
    from openclaw_nats.service.files import write_no_core_files
    from openclaw_nats.service.receiver_file import read

    refuse_agents("receive webhooks")
    write_no_core_files()
    receiver = read(path)
    if show:
        _show(receiver, as_json=as_json)
        return
    from openclaw_nats.service.receiver import serve

    logs.configure(receiver.log, None)
    import uvloop

    uvloop.run(serve(receiver))


def _show(receiver: Receiver, *, as_json: bool) -> None:
    from openclaw_nats.service import logs
    from openclaw_nats.service.receiver_sources import addresses

    logs.silence()
    found = asyncio.run(addresses(receiver))
    if as_json:
        print_json(found)
        return
    for one in found.sources:
        line(Styled(one.name, bold=True), f" ({one.type})")
        line(f"  {one.address}")
        words(Styled("  There:"), one.paste, indent="    ")
    if not found.sources:
        line("No sources: the file has no [[source]] table.")
