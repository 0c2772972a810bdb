"""Options that several commands share."""

from __future__ import annotations

from typing import Any

import click

_PORT = click.IntRange(1, 65535)
_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True)


def connection_options(command: Any) -> Any:
    """Where things listen: the options that `setup` and `up` share."""
    for option in (
        click.option("--gateway-url", metavar="URL", help="Address of the OpenClaw Gateway."),
        click.option(
            "--nats-ca", type=_FILE, help="PEM file with the CA of its certificate, if that is a private one."
        ),
        click.option("--nats-nkey", type=_FILE, help="Sign in there with the nkey whose seed is in this file."),
        click.option("--nats-credentials", type=_FILE, help="Sign in there with this .creds file."),
        click.option("--nats-password-file", type=_FILE, help="File with the password for --nats-user."),
        click.option("--nats-user", metavar="NAME", help="Sign in there as this user."),
        click.option("--nats-url", metavar="URL", help="Use this NATS instead of running one."),
        click.option(
            "--mqtt-port", type=click.IntRange(0, 65535), help="Port on which that nats-server speaks MQTT; 0: off."
        ),
        click.option("--nats-port", type=_PORT, help="Port for the nats-server that we run."),
        click.option("--sidecar-port", type=_PORT, help="Port for the sidecar."),
    ):
        command = option(command)
    return command
