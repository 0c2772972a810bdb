"""Settings: each declared once (`sections.py`, `model.py`), read once (`loading.py`), typed and frozen.

`load().stream.max_age` is a value that mypy knows; `registry.py` looks settings up by names that people type.
"""

from openclaw_nats.openclaw_paths import state_dir
from openclaw_nats.settings.loading import check_value, load, read_toml
from openclaw_nats.settings.model import API_KEY_VARIABLE, HOOK_TOKEN_VARIABLE, LOOPBACK_HOSTS, NATS_NKEY, Settings
from openclaw_nats.settings.registry import REGISTRY, changed, find, shown, value_of
from openclaw_nats.settings.units import format_duration, format_size, parse_duration, parse_size

__all__ = [
    "API_KEY_VARIABLE",
    "HOOK_TOKEN_VARIABLE",
    "LOOPBACK_HOSTS",
    "NATS_NKEY",
    "REGISTRY",
    "Settings",
    "changed",
    "check_value",
    "find",
    "format_duration",
    "format_size",
    "load",
    "parse_duration",
    "parse_size",
    "read_toml",
    "shown",
    "state_dir",
    "value_of",
]
