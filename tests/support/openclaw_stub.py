"""A made-up `openclaw` for tests of setup: as the real ones answer (tests/gateway), fails or is slow where it is told.

Run as a program it is the command. Environment: `STUB_VERSION`; `STUB_FAIL` and `STUB_SLOW` hold the beginning of a
command line (`plugins install`) that ends with an error, after doing its work, or takes `STUB_SECONDS` before it;
`STUB_CALLS` is a file in which every command line is noted.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

PLUGIN = "openclaw-nats"


def write(folder: Path, *, shebang: str = "") -> Path:
    """Put the command into a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "openclaw"
    path.write_text(f"{shebang or '#!' + sys.executable}\n" + Path(__file__).read_text())
    path.chmod(0o755)
    return path


def _config_path() -> Path:
    state = Path(os.environ["OPENCLAW_STATE_DIR"])
    return Path(os.environ.get("OPENCLAW_CONFIG_PATH") or state / "openclaw.json")


def _read() -> dict[str, Any]:
    import pyjson5  # a test may put this under a Node that has none

    path = _config_path()
    return pyjson5.decode(path.read_text()) if path.exists() else {}


def _write(config: dict[str, Any]) -> None:
    config["meta"] = {"lastTouchedAt": time.time()}  # as OpenClaw does at every change
    path = _config_path()
    temporary = path.with_name(".openclaw.json.tmp")
    temporary.write_text(json.dumps(config, indent=2))
    temporary.replace(path)


def _set(config: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    for key in way:
        config = config.setdefault(key, {})
    config[last] = value


def _unset(config: dict[str, Any], path: str) -> None:
    *way, last = path.split(".")
    for key in way:
        config = config.get(key, {})
    config.pop(last, None)


def _config(words: list[str]) -> None:
    config = _read()
    if words[:2] == ["set", "--batch-file"]:
        for one in json.loads(Path(words[2]).read_text()):
            _set(config, one["path"], one["value"])
    elif words[0] == "set":
        _set(config, words[1], json.loads(words[2]))
    elif words[0] == "unset":
        _unset(config, words[1])
    else:
        sys.exit(f"error: unknown command {words}")
    _write(config)


def _plugins(words: list[str]) -> None:
    extension = Path(os.environ["OPENCLAW_STATE_DIR"], "extensions", PLUGIN)
    config = _read()
    if "--help" in words:
        print("Options:\n  --force   over an older one\n  --accept-capabilities   yes")
        return
    if words[0] == "install":
        shutil.copytree(words[1], extension, dirs_exist_ok=True)
        _set(config, f"plugins.entries.{PLUGIN}.enabled", value=True)
    else:
        shutil.rmtree(extension, ignore_errors=True)
        _set(config, f"plugins.entries.{PLUGIN}", {"enabled": False})  # as 2026.9 leaves it
    _write(config)


def main(words: list[str]) -> None:
    """One command."""
    line = " ".join(words)
    if calls := os.environ.get("STUB_CALLS"):
        with Path(calls).open("a") as file:
            file.write(line + "\n")
    slow, fail = os.environ.get("STUB_SLOW", "\0"), os.environ.get("STUB_FAIL", "\0")
    if line.startswith(slow) and "--help" not in line:
        time.sleep(float(os.environ.get("STUB_SECONDS", "60")))
    if line == "--version":
        print("OpenClaw", os.environ.get("STUB_VERSION", "2026.9.6"))
    elif words[0] == "config":
        _config(words[1:])
    elif words[0] == "plugins":
        _plugins(words[1:])
    elif line.startswith("gateway status"):
        print(json.dumps({"service": {"loaded": True}}))
    elif line != "gateway restart":
        sys.exit(f"error: unknown command {line}")
    if line.startswith(fail) and "--help" not in line:
        sys.exit("error: the disk said no")


if __name__ == "__main__":
    main(sys.argv[1:])
