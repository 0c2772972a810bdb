"""What `cron` and `timers` share: paths of the API, payloads, jobs and timers of other Gateways."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.instructions import instruction_of, instruction_options
from openclaw_nats.cli.targets import target_of
from openclaw_nats.text_formats import from_json

every_gateway = click.option("--all", "every", is_flag=True, help="Also those of other Gateways on this NATS.")
from_option = click.option("--from", "gateway", required=True, metavar="ID", help="The gateway.id that it belongs to.")


def wake_options(command: Any) -> Any:
    """Whom a job or timer wakes, and what with: `wish_of` makes fields of them."""
    for option in (
        *instruction_options("What is to be done then"),
        click.option("--wake", metavar="TARGET", help="Whom it wakes: main, a session key, agent:ID or wake[:ID]."),
    ):
        command = option(command)
    return command


def wish_of(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of the options of `wake_options`, which are taken out; None for one that is given as nothing."""
    found: dict[str, Any] = {}
    wake = given.pop("wake", None)
    if wake is not None:
        found["wake"] = target_of(wake, "--wake") if wake else None
    if (instruction := instruction_of(given)) is not None:
        found["instruction"] = instruction or None
    return found


def shown_wake(wake: Any) -> str:
    """A target in one word, as `--wake` takes it; empty for none."""
    if not isinstance(wake, dict):
        return wake or ""
    if wake["kind"] == "session":
        return str(wake["sessionKey"])
    return ":".join(filter(None, (wake["kind"], wake.get("agentId", ""))))


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
        return from_json(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise click.UsageError(f"{option}: {text[1:]} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{option} must be JSON, such as '{{\"a\": 1}}': {error}") from None
