"""TLS to the Gateway, whose certificate is often one that it made for itself (`gateway.tls.autoGenerate`)."""

from __future__ import annotations

import hashlib
import re
import ssl
from pathlib import Path

from openclaw_nats.errors import RetryLater

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def unchecked() -> ssl.SSLContext:
    """A context that takes any certificate: for questions that hold no secret and whose answer nobody obeys, and where
    the other side proves itself by other means.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def digest_of(file: str) -> bytes:
    """SHA-256 of the first certificate in a PEM file, read each time since the Gateway may renew it.

    Raises RetryLater when there is none: without it the Gateway can't be distinguished from another program.
    """
    try:
        match = _CERTIFICATE.search(Path(file).read_text("ascii", "replace"))
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(match[0] if match else "")).digest()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it holds none"
        raise RetryLater(
            f"the Gateway's certificate can't be read from {file}: {why}",
            scope="gateway",
            counts=False,
            hint="The Gateway makes it at its first start; gateway.certificate_file names it.",
        ) from None
