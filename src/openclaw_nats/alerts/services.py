"""Channels to services that Apprise knows (Slack, ntfy, Telegram, e-mail and many more), in a process of their own.

Apprise is an optional extra; it blocks, and logs what may hold a secret. So each message is sent by a process that
gets the address on its standard input, has a limit of time, and whose output nobody keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import sys

import msgspec

from openclaw_nats.errors import InvalidInput

INSTALL = "pip install 'openclaw-nats[alerts]'"
SEND_SECONDS = 60.0
CHECK_SECONDS = 30.0
_WORKER = "openclaw_nats.alerts.service_process"
_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTPS_PROXY",
    "NO_PROXY",
)


class Order(msgspec.Struct):
    """What the process does: without a body it only says whether it understands the address."""

    url: str
    title: str = ""
    body: str | None = None


def is_service(address: str) -> bool:
    """Whether an address is for Apprise: one with a scheme that is not the web's."""
    scheme, found, _ = address.partition("://")
    return bool(found) and scheme.lower() not in ("http", "https")


def shown(address: str) -> str:
    """All of such an address that may be shown: what follows the scheme is often a token."""
    return f"{address.partition('://')[0].lower()}://…"


def check_installed(address: str) -> None:
    """Raise InvalidInput where Apprise is missing."""
    if importlib.util.find_spec("apprise") is None:
        raise InvalidInput(f"to: {shown(address)} needs Apprise", hint=f"{INSTALL}, then restart.", field="to")


async def check(address: str) -> None:
    """Raise InvalidInput for an address that Apprise does not understand, or when it is missing."""
    check_installed(address)
    if error := await _ask(Order(address), CHECK_SECONDS):
        hint = "github.com/caronc/apprise/wiki lists the services, and how each one's address is made."
        raise InvalidInput(f"to: {shown(address)} is no address of a service: {error}", hint=hint, field="to")


async def send(address: str, title: str, body: str) -> str:
    """Send one message; why it was not taken, or nothing."""
    error = await _ask(Order(address, title, body), SEND_SECONDS)
    return f"{shown(address)}: {error}" if error else ""


async def _ask(order: Order, seconds: float) -> str:
    """Run the process once. What it prints is read as one of our own answers and is nobody else's text."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", _WORKER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        async with asyncio.timeout(seconds):
            await process.communicate(msgspec.json.encode(order))
    except TimeoutError:
        return f"the service did not answer within {seconds:.0f} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return _ANSWERS.get(process.returncode or 0, f"the process that sends ended with {process.returncode}")


_ANSWERS = {
    0: "",
    2: "Apprise does not know this form",
    3: f"Apprise is missing: {INSTALL}",
    4: "the service did not take it",
}
