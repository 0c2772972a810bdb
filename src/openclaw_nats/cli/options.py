"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

_PORT = click.IntRange(1, 65535)


def connection_options(command: Any) -> Any:
    """Where things listen: the options that `setup` and `up` share."""
    for option in (
        click.option("--gateway-url", metavar="URL", help="Address of the OpenClaw Gateway."),
        click.option("--nats-url", metavar="URL", help="Use this NATS instead of running one."),
        click.option("--nats-port", type=_PORT, help="Port for the nats-server that we run."),
        click.option("--sidecar-port", type=_PORT, help="Port for the sidecar."),
    ):
        command = option(command)
    return command
