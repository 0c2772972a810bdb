#!/usr/bin/env python3
"""The project's front door: sets up everything it needs in `.dev/`, then runs the demo or the tests.

    python3 dev.py demo               a real Gateway's events in a real JetStream stream
    python3 dev.py test               all checks, and all tests but those of the night
    python3 dev.py test --fast        what needs no Gateway and no browser: all checks, the unit tests
    python3 dev.py test --all         also the tests of the night: older OpenClaw releases, chaos at full length
    python3 dev.py test --coverage    what the unit tests reach of each package, against its floor
    python3 dev.py test --versions    setup to uninstall on a release of every month of OpenClaw
    python3 dev.py check              only the checks that take seconds: style, types, imports
    python3 dev.py format             writes what the formatters want
    python3 dev.py bench              the benchmarks
    python3 dev.py docs               the documentation's site, in .dev/site
    python3 dev.py packages           what a release consists of, in dist/

Needs Python 3.11 or newer with pip. Nothing outside this folder changes, except that `test` installs the few programs
of PROGRAMS from the system's packages when it runs as root; otherwise it says at once which ones are missing.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
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
# What tests run and no package of PyPI or npm ships: the program, and the package of Debian and Ubuntu that has it.
PROGRAMS = (
    ("promtool", "prometheus"),
    ("docker-compose", "docker-compose"),
    ("curl", "curl"),
    ("doveadm", "dovecot-imapd"),  # which plain users find in their PATH; the server itself is in /usr/sbin
)
PIP_PYTHON_SINCE = (22, 3)  # `pip --python` installs into another environment


class Missing(Exception):
    """Something that this script can't get by itself; the text says what to install, in one line."""


def say(text: str) -> None:
    """One line of progress."""
    print(f"· {text}", file=sys.stderr, flush=True)


def ensure_programs(*, needed: bool) -> None:
    """Install the programs that are missing, as root; else raise Missing (or, unless all are `needed`, only say so)."""
    missing = {program: package for program, package in PROGRAMS if shutil.which(program) is None}
    if not missing:
        return
    packages = sorted(missing.values())
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        command = f"sudo apt-get install --no-install-recommends {' '.join(packages)}"
        text = f"tests need {', '.join(missing)}; on Debian and Ubuntu: {command}"
        if needed:
            raise Missing(text)
        say(f"some {text}")
        return
    say(f"installing from the system's packages: {' '.join(packages)}")
    environment = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *arguments], env=environment, check=True, capture_output=True)


@functools.cache
def installer() -> tuple[str, ...]:
    """The beginning of a pip command that installs into the virtual environment; raise Missing without a usable pip."""
    quiet = ("--disable-pip-version-check", "install", "-qq")
    if importlib.util.find_spec("pip") is not None:
        import pip

        if tuple(int(part) for part in pip.__version__.split(".")[:2]) >= PIP_PYTHON_SINCE:
            # The environment itself needs no pip then: some systems ship Python without ensurepip.
            return (sys.executable, "-m", "pip", "--python", str(PYTHON), *quiet)
    if importlib.util.find_spec("ensurepip") is not None:
        return (str(PYTHON), "-m", "pip", *quiet)
    raise Missing(f"{sys.executable} has no pip; on Debian and Ubuntu: sudo apt-get install python3-pip")


def ensure_venv() -> None:
    """A virtual environment with the locked packages and this project, made again when the lock changes."""
    wanted = hashlib.sha256(
        LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode()
    ).hexdigest()
    stamp = VENV / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted and PYTHON.exists():
        return
    if Path(sys.prefix).resolve() == VENV.resolve():  # started from within it: it can't make itself again
        base = str(getattr(sys, "_base_executable", sys.executable))
        os.execv(base, [base, *sys.argv])
    began = time.monotonic()
    say("setting up .dev/venv (the first time takes a minute)")
    shutil.rmtree(VENV, ignore_errors=True)
    pip = installer()
    without = ["--without-pip"] if "--python" in pip else []
    subprocess.run([sys.executable, "-m", "venv", *without, str(VENV)], check=True)
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
    bench = next(
        (f"bench/{name}.py" for name in ("heartbeat", "dashboard", "obedience", "commands") if f"--{name}" in rest),
        "bench/run.py",
    )
    scripts = {
        "test": ["tests/run.py"],
        "check": ["tests/run.py", "--check"],
        "format": ["tests/run.py", "--format"],
        "bench": [bench],
        "demo": ["-m", "openclaw_nats", "demo"],
        "docs": ["-m", "mkdocs", "build", "--strict", "--quiet"],
        "packages": ["release/packages.py"],
    }
    if what not in scripts:
        print(__doc__, file=sys.stderr)
        return 2
    environment = dict(os.environ) | {
        "OPENCLAW_NATS_CACHE": os.environ.get("OPENCLAW_NATS_CACHE") or str(DEV / "cache")
    }
    try:
        installer()
        if what == "test":
            ensure_programs(needed=rest in ([], ["--all"]))
        ensure_venv()
        if what not in ("check", "format"):
            ensure_dashboard(environment)
    except Missing as missing:
        print(f"Error: {missing}", file=sys.stderr)
        return 1
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
