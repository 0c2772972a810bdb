"""Where the Gateway plugin and the built dashboard lie inside this package."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parent.parent


def plugin_dir() -> Path:
    """The plugin's folder: inside the installed package, or next to `src` in a checkout."""
    for folder in (_HERE / "plugin", _CHECKOUT / "plugin"):
        if (folder / "openclaw.plugin.json").is_file():
            return folder
    raise FileNotFoundError("the plugin is missing from this installation of openclaw-nats")


def dashboard_dir() -> Path | None:
    """The dashboard's files: inside the installed package, or built in a checkout; None where it was not built."""
    for folder in (_HERE / "dashboard_page", _CHECKOUT / "dashboard" / "dist"):
        if (folder / "index.html").is_file():
            return folder
    return None
