"""Secret keys of an installation: 32 random bytes in a file each, made at the first start."""

from __future__ import annotations

import secrets
from pathlib import Path

from openclaw_nats.errors import SettingsError
from openclaw_nats.service.files import write_private

NAME = "identity-key"
_BYTES = 32


def identity_key(home: Path) -> bytes:
    """The key behind every message id and seal (events/identity.py); raise SettingsError for a file without one."""
    return secret_key(home, NAME, "what was stored before is outside")


def secret_key(home: Path, name: str, price: str) -> bytes:
    """A key by its file's name; raise SettingsError when that holds something else. `price`: what a new one costs."""
    path = home / name
    if not path.exists():
        write_private(path, secrets.token_hex(_BYTES) + "\n")
    try:
        key = bytes.fromhex(path.read_text().strip())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from None
    except ValueError:
        key = b""
    if len(key) < _BYTES:
        raise SettingsError(
            f"{path} does not hold a key of {_BYTES} bytes in hexadecimal digits",
            hint=f"Restore it from a backup, or move it away: a new one is made, and {price}.",
        )
    return key
