"""A file of sources: read, and compared with the sources that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from openclaw_nats.cli import flags
from openclaw_nats.cli.event_lines import full_subject
from openclaw_nats.cli.sidecar_client import SidecarClient
from openclaw_nats.contract.sources import SourceOptions
from openclaw_nats.errors import SettingsError
from openclaw_nats.sources.file import NO_SECRET, tables_of
from openclaw_nats.sources.naming import base_of
from openclaw_nats.sources.watched import is_watched
from openclaw_nats.text_formats import from_toml, without_dates


def read(path: Path) -> list[dict[str, Any]]:
    """The [[source]] tables of a file; raise SettingsError with the place. A secret's file is beside it."""
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            found = without_dates(from_toml(str(file.read())))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    sources = found.pop("source", [])
    if found:
        raise SettingsError(f"{path} may hold [[source]] tables only, not {', '.join(found)}")
    return tables_of(sources, path, Path.cwd() if str(path) == "-" else path.absolute().parent)


def apply(sidecar: SidecarClient, wanted: list[dict[str, Any]], *, dry_run: bool) -> list[dict[str, Any]]:
    """Make what is missing and change what differs; what was, or would be, done. Secrets of sources that exist stay:
    `rotate` changes them.
    """
    from openclaw_nats.cli.sources import addresses_of, read_secret

    there = {one["name"]: one for one in sidecar.call("GET", "/api/sources")["sources"]}
    changes: list[dict[str, Any]] = []
    for one in wanted:
        name, old = one["name"], there.get(one["name"])
        kind = one.get("type") or (old or {}).get("type") or ""
        subject = str(full_subject(one["subject"])) if one.get("subject") else base_of(kind, name)
        options = _options(name, one.get("options", {}))
        if old is None:
            changes.append({"change": "add", "source": name, "detail": f"{one.get('type')} → {subject}"})
            if dry_run:
                continue
            if "secret_file" not in one and kind != "unsigned" and not is_watched(kind):
                raise SettingsError(f"the source {name!r} is new and names no secret_file")
            without = "" if is_watched(kind) else NO_SECRET
            secret = read_secret(one["secret_file"]) if "secret_file" in one else without
            body = {"name": name, "type": one.get("type"), "secret": secret, "options": options}
            made = sidecar.call("POST", "/api/sources", {**body, "subject": subject}, flags=flags.SOURCE)
            if "path" in made:
                changes[-1]["addresses"] = addresses_of(made)
            if one.get("paused"):
                sidecar.call("PATCH", f"/api/sources/{quote(name, safe='')}", {"paused": True})
            continue
        if one.get("type") not in (None, old["type"]):
            hint = "Remove it first: `openclaw-nats sources remove`."
            raise SettingsError(f"the source {name!r} is of type {old['type']}, which can't be changed", hint=hint)
        differing: dict[str, Any] = {}
        if subject != old["subject"]:
            differing["subject"] = subject
        if options != old["options"]:
            differing["options"] = options
        if bool(one.get("paused")) != bool(old.get("paused")):
            differing["paused"] = bool(one.get("paused"))
        if differing:
            changes.append({"change": "change", "source": name, "detail": ", ".join(sorted(differing))})
            if not dry_run:
                sidecar.call("PATCH", f"/api/sources/{quote(name, safe='')}", differing, flags=flags.SOURCE)
    return changes


def _options(name: str, given: Any) -> Any:
    """Options as the API shows them, without those that have their default; raise SettingsError."""
    try:
        return msgspec.to_builtins(msgspec.convert(given, SourceOptions))
    except msgspec.ValidationError as error:
        raise SettingsError(f"the source {name!r}: {error}") from None
