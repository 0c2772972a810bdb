"""What `cron` and `timers` share: paths of the API, payloads, jobs and timers of other Gateways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.cli.deliveries import client

every_gateway = click.option("--all", "every", is_flag=True, help="Also those of other Gateways on this NATS.")
from_option = click.option("--from", "gateway", required=True, metavar="ID", help="The gateway.id that it belongs to.")


def others_of(kind: str) -> list[dict[str, Any]]:
    """The `jobs` or `timers` of other Gateways."""
    found: list[dict[str, Any]] = client().call("GET", "/api/schedules/others")[kind]
    return found


def take(kind: str, name: str, gateway: str) -> dict[str, Any]:
    """Take a job (`cron`) or `timer` over; the job or timer."""
    body = {"kind": kind, "name": name, "from": gateway}
    found: dict[str, Any] = client().call("POST", "/api/schedules/take", body)
    return found


def path_of(kind: str, name: str, action: str = "") -> str:
    """The API's path of a job or timer."""
    return f"/api/{kind}/{quote(name, safe='')}" + (f"/{action}" if action else "")


def json_of(text: str, option: str) -> Any:
    """JSON from an option; `@FILE` reads a file."""
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise click.UsageError(f"{option}: {text[1:]} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{option} must be JSON, such as '{{\"a\": 1}}': {error}") from None
