"""TLS at the sidecar's address: its certificate, read again when its files change."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import structlog

from openclaw_nats.errors import SettingsError
from openclaw_nats.file_signature import signature
from openclaw_nats.settings import Settings

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 1.0


class Certificate:
    """A certificate (PEM, with its chain) and its key. `context` is what new connections use."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = _empty()
        self._seen = self._signatures()
        self._failed = ""
        self._load()

    @classmethod
    def of(cls, settings: Settings) -> Certificate | None:
        """The one of the settings; None while they name none, or half of it. Raises SettingsError for one that can't be
        used.
        """
        if missing := settings.half_of_tls:
            log.warning("tls.off", missing=missing, hint="TLS needs both")
        if not settings.sidecar_speaks_tls:
            return None
        return cls(Path(settings.sidecar.tls_certificate), Path(settings.sidecar.tls_key))

    async def run(self) -> None:
        """Look at the files each second until cancelled; a pair that can't be used leaves the one before in use."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read them again if they are others."""
        found = self._signatures()
        if found == self._seen and not self._failed:
            return
        changed, self._seen = found != self._seen, found
        try:
            self._load()
        except SettingsError as error:  # tried again: the other file may come, the disk may come back
            if changed or self._failed != str(error):
                log.error("tls.not_reloaded", error=str(error))
            self._failed = str(error)
        else:
            self._failed = ""
            log.info("tls.reloaded", certificate=str(self._files[0]))

    def _load(self) -> None:
        for context in (_empty(), self.context):  # tried apart: a pair that fails would spoil the one in use
            try:
                context.load_cert_chain(*self._files, password=_no_password)
            except (OSError, ValueError) as error:
                raise SettingsError(
                    f"the certificate {self._files[0]} with the key {self._files[1]} can't be used: {_why(error)}",
                    hint="Both are PEM files: the certificate first, then its chain; the key without a pass phrase.",
                ) from None

    def _signatures(self) -> list[tuple[int, ...]]:
        return [signature(path) for path in self._files]


def _empty() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    raise ValueError("the key has a pass phrase")  # or OpenSSL would ask for it at the terminal


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        return reason or "it is no PEM file"
    return getattr(error, "strerror", None) or str(error)
