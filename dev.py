#!/usr/bin/env python3
"""The project's front door: sets up everything it needs in `.dev/`, then runs the demo or the tests.

    python3 dev.py demo      a real Gateway's events in a real JetStream stream
    python3 dev.py test      all checks and tests
    python3 dev.py bench     the benchmarks

Needs Python 3.11 or newer with pip. Nothing outside `.dev/` changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
DEV = ROOT / ".dev"
VENV = DEV / "venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements-dev.lock"


def say(text: str) -> None:
    """One line of progress."""
    print(f"· {text}", file=sys.stderr, flush=True)


def ensure_venv() -> None:
    """A virtual environment with the locked packages and this project, made anew when the lock changes."""
    wanted = hashlib.sha256(
        LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    ).hexdigest()
    stamp = VENV / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted and PYTHON.exists():
        return
    began = time.monotonic()
    say("setting up .dev/venv (the first time takes a minute)")
    shutil.rmtree(VENV, ignore_errors=True)
    # Without pip: some systems ship Python without ensurepip, and the pip that is there can serve another Python.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON), "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], check=True)
    stamp.write_text(wanted)
    say(f"ready after {time.monotonic() - began:.0f} s")


def ensure_dashboard(environment: dict[str, str]) -> None:
    """The dashboard's pages, built from their sources when these have changed."""
    subprocess.run(
        [str(PYTHON), "dashboard/build.py", "--own-node"], cwd=ROOT, env=environment, check=True, capture_output=True
    )


def main() -> int:
    """Run what the first argument names."""
    if sys.version_info < (3, 11):
        print("Error: openclaw-nats needs Python 3.11 or newer", file=sys.stderr)
        return 1
    what, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    bench = next((f"bench/{name}.py" for name in ("heartbeat", "dashboard") if f"--{name}" in rest), "bench/run.py")
    scripts = {"test": ["tests/run.py"], "bench": [bench], "demo": ["-m", "openclaw_nats", "demo"]}
    if what not in scripts:
        print(__doc__, file=sys.stderr)
        return 2
    environment = dict(os.environ) | {
        "OPENCLAW_NATS_CACHE": os.environ.get("OPENCLAW_NATS_CACHE") or str(DEV / "cache")
    }
    try:
        ensure_venv()
        ensure_dashboard(environment)
    except subprocess.CalledProcessError as error:
        print(f"Error: setting up failed: {' '.join(map(str, error.cmd))[:200]}", file=sys.stderr)
        print((error.stderr or b"").decode("utf-8", "replace")[-2000:], file=sys.stderr)
        return 1
    environment["PATH"] = f"{PYTHON.parent}{os.pathsep}{environment.get('PATH', '')}"
    if what == "demo":
        os.chdir(ROOT)
        os.execve(PYTHON, [str(PYTHON), *scripts[what], *rest], environment)
    return subprocess.run([str(PYTHON), *scripts[what], *rest], cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
