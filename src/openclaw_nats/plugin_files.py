"""Where the Gateway plugin lies inside this package."""

from __future__ import annotations

from pathlib import Path


def plugin_dir() -> Path:
    """The plugin's folder: inside the installed package, or beside `src` in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "plugin", here.parent.parent / "plugin"):
        if (folder / "openclaw.plugin.json").is_file():
            return folder
    raise FileNotFoundError("the plugin is missing from this installation of openclaw-nats")
