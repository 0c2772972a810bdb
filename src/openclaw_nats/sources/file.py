"""The [[source]] tables of a TOML file: for `sources apply`, and for `receive`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from openclaw_nats.errors import InvalidInput, SettingsError

# As a secret: of a source of type unsigned, and of CloudEvents to which the address alone lets in.
NO_SECRET = "none"  # noqa: S105
FIELDS = ("name", "type", "secret_file", "subject", "paused", "options")
_LONGEST = 4096


def tables_of(found: object, path: Path, folder: Path) -> list[dict[str, Any]]:
    """The tables as they stand there, with the paths of secrets' files beside `folder`. Raises SettingsError."""
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise SettingsError(f"{path}: source has to be [[source]] tables")
    names = [one.get("name") for one in found]
    for one, name in zip(found, names, strict=True):
        if not isinstance(name, str):
            raise SettingsError(f"{path}: a [[source]] has no name")
        if names.count(name) > 1:
            raise SettingsError(f"{path}: the source {name!r} appears twice")
        if unknown := [field for field in one if field not in FIELDS]:
            raise SettingsError(f"{path}: the source {name!r} has no field {unknown[0]!r}; known: {', '.join(FIELDS)}")
        if isinstance(one.get("secret_file"), str):
            one["secret_file"] = folder / one["secret_file"]
    return found


def secret_in(path: Path, content: bytes) -> str:
    """The secret in a file, without white space around it; raise InvalidInput."""
    try:
        return content[:_LONGEST].decode().strip()
    except UnicodeDecodeError:
        raise InvalidInput(f"{path} holds no secret: it is no text") from None
