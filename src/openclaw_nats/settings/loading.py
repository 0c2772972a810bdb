"""Settings are read once, checked and frozen. Nobody else reads the environment or `config.toml`.

Order, the later wins: default, `config.toml`, environment. Each setting `section.name` can be given as
`OPENCLAW_NATS_SECTION_NAME`; three have names of other programs, too (`foreign_variables.py` says when those count).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from openclaw_nats.errors import SettingsError
from openclaw_nats.openclaw_paths import state_dir
from openclaw_nats.settings import foreign_variables
from openclaw_nats.settings.foreign_variables import Raw
from openclaw_nats.settings.model import DEFAULT, Settings
from openclaw_nats.settings.registry import REGISTRY, changed, exists, find, nearest
from openclaw_nats.text_formats import from_toml
from openclaw_nats.url_secrets import masked_in

_SHOWN = 200  # characters of a wrong value


def load(
    home: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    also: Mapping[str, str] = MappingProxyType({}),
) -> Settings:
    """Read `config.toml` in `home` (default `$OPENCLAW_STATE_DIR/nats`) and the environment; raise SettingsError.

    `also` are settings as texts which are taken as if they stood in that file: how it would be once they are saved.
    """
    home = home or state_dir(environment) / "nats"
    path = home / "config.toml"
    raw: Raw = {setting.name: (setting.default, DEFAULT) for setting in REGISTRY}
    for name, value in _flatten(read_toml(path)).items():
        if not exists(name):
            raise SettingsError(f"{path}: there is no setting {name!r}", hint=nearest(name))
        raw[name] = (value, str(path))
    raw |= {name: (check_value(name, text), str(path)) for name, text in also.items()}
    for setting in REGISTRY:
        if (given := environment.get(setting.variable)) is not None:
            raw[setting.name] = (given, setting.variable)
    notes = foreign_variables.apply(raw, environment, nats=_nats_chosen(raw, home))
    origins = MappingProxyType({name: origin for name, (_, origin) in raw.items()})
    values = {name: _parse(name, value, origin) for name, (value, origin) in raw.items() if origin != DEFAULT}
    return _by_tls(changed(Settings(home, origins, tuple(notes)), values))


def _by_tls(settings: Settings) -> Settings:
    """Where the sidecar speaks TLS, so does who asks it at its own port."""
    url = settings.sidecar.url
    if settings.sidecar_speaks_tls and url.startswith("http://") and settings.sidecar_is_here:
        return changed(settings, {"sidecar.url": f"https{url[4:]}"})
    return settings


def _nats_chosen(raw: Raw, home: Path) -> str:
    """Which NATS was chosen, in words that begin a reason; empty while none was.

    One of ours by `nats.managed`, or (by an older `up`) by its password's file; another one by `nats.managed = false`
    with an address.
    """
    managed, origin = raw["nats.managed"]
    ours = origin == DEFAULT or _parse("nats.managed", managed, origin) is True
    chosen = origin != DEFAULT or raw["nats.password_file"][0] == str(home / "nats-password")
    if ours:
        return "nats.managed is true, so it is the nats-server that we run which counts" if chosen else ""
    return "nats.url says which NATS was chosen" if chosen and raw["nats.url"][1] != DEFAULT else ""


def check_value(name: str, text: str) -> object:
    """Parse one setting given as text, as `config set` takes it; return what belongs into TOML."""
    find(name)
    try:
        value: object = from_toml(f"value = {text}")["value"]
    except ValueError:
        value = text
    _parse(name, value, "the command line")
    return value


def _parse(name: str, value: object, origin: str) -> object:
    try:
        return find(name).parse(value)
    except (ValueError, TypeError) as error:
        given = masked_in(repr(value))[:_SHOWN]  # a password may stand in an address
        raise SettingsError(f"{name} is {given} (from {origin}), but must be {error}") from None


def read_toml(path: Path) -> dict[str, object]:
    """What `config.toml` says, empty without one; raise SettingsError when it can't be read or is no TOML."""
    try:
        return from_toml(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path} is not UTF-8 text (at byte {error.start + 1})", hint="Save it as UTF-8, or move the file away."
        ) from None
    except ValueError as error:
        raise SettingsError(
            f"{path} is not valid TOML: {error}", hint="Fix that line, or move the file away."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} can't be read: {(error.strerror or str(error)).lower()}",
            hint="Who owns it, and is it a file? `ls -ld` shows it; run this as the user of the Gateway.",
        ) from None


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        flat.update(_flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat
