"""The sidecar's certificate: whether it is what is served, and until when it holds."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from openclaw_nats.doctor.finding import Finding, note, ok, problem
from openclaw_nats.errors import SettingsError
from openclaw_nats.gateway.tls import unchecked
from openclaw_nats.service.tls import Certificate
from openclaw_nats.settings import Settings

_SOON_DAYS = 14
_HELP = "Put the new one into its files: the sidecar reads them by itself."


def certificate(settings: Settings) -> Iterator[Finding]:
    """Whether the files can be used, are what the sidecar serves, and hold for some time."""
    try:
        Certificate.of(settings)
    except SettingsError as error:
        yield problem("tls", str(error), error.hint)
        return
    file = Path(settings.sidecar.tls_certificate)
    if Path(settings.sidecar.tls_key).stat().st_mode & 0o077:
        text = f"{settings.sidecar.tls_key} can be read by others"
        yield problem("tls", text, f"Run `chmod 600 {settings.sidecar.tls_key}`.")
    where = urlsplit(settings.sidecar.url)
    context = ssl.create_default_context(cafile=str(file))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        with (
            socket.create_connection((where.hostname or "", settings.sidecar.port), timeout=3) as plain,
            context.wrap_socket(plain) as link,
        ):
            ends = ssl.cert_time_to_seconds(str((link.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        said = error.verify_message
        text = f"the certificate has expired: {file}" if "expired" in said else f"{file} is not what is served: {said}"
        yield problem("tls", text, _HELP)
        return
    except (OSError, KeyError, ValueError):
        return  # "ports" says that nothing answers there
    days = int((ends - time.time()) / 86400)
    if days < _SOON_DAYS:
        yield note("tls", f"the certificate {file} holds for {days} more days", _HELP)
    else:
        yield ok("tls", f"the sidecar speaks TLS; its certificate holds for {days} more days")


@contextlib.contextmanager
def maybe(plain: socket.socket, *, tls: bool) -> Iterator[socket.socket]:
    """The connection, by TLS where that is spoken: who it is does not matter here."""
    if not tls:
        yield plain
        return
    with unchecked().wrap_socket(plain) as link:
        yield link
