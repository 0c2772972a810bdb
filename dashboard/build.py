#!/usr/bin/env python3
"""Builds the dashboard into `dist/`, unless it is built already from the same sources. Standard library only.

python dashboard/build.py [NODE]      NODE: the folder with bin/node and npm's library; default: npm on PATH
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DIST = HERE / "dist"
STAMP = DIST / ".built-from"
_SOURCES = ("index.html", "package.json", "package-lock.json", ".npmrc", "svelte.config.js", "tsconfig.json")
_SOURCES += ("vite.config.ts", "build.py")


def documents() -> list[Path]:
    """The pages that the dashboard links to."""
    return [HERE.parent / "README.md", *sorted((HERE.parent / "docs").rglob("*.md"))]


def fingerprint() -> str:
    """A hash of everything that the build is made of."""
    files = [HERE / name for name in _SOURCES]
    files += sorted(path for folder in ("src", "public") for path in (HERE / folder).rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in [*files, *documents()]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current() -> bool:
    """Whether `dist/` is what the sources would give."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def npm(arguments: list[str], node: Path | None) -> None:
    """Run npm; raise CalledProcessError with what it printed, FileNotFoundError when there is no npm."""
    environment = dict(os.environ)
    if node is not None:
        script = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        command = [str(node / "bin" / "node"), str(script)]
        environment["PATH"] = f"{node / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    elif found := shutil.which("npm"):
        command = [found]
    else:
        raise FileNotFoundError("npm is needed to build the dashboard")
    done = subprocess.run(
        [*command, *arguments], cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout.decode("utf-8", "replace")[-6000:])
        raise subprocess.CalledProcessError(done.returncode, [*command, *arguments])


def install(node: Path | None = None) -> None:
    """What the lock names, in `node_modules/`; nothing when it is there."""
    stamp = HERE / "node_modules" / ".installed-from"
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        npm(["ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"], node)
        stamp.write_text(wanted)


def build(node: Path | None = None) -> bool:
    """Build if need be; whether it was."""
    if is_current():
        return False
    install(node)
    wanted = fingerprint()
    npm(["run", "build"], node)
    for path in documents():
        target = DIST / path.relative_to(HERE.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    STAMP.write_text(wanted)
    return True


def own_node() -> Path:
    """The Node that the demo and the tests use; downloaded on the first run."""
    from openclaw_nats.demo.provision import cache_dir, provision_node

    return provision_node(cache_dir(), lambda what, seconds: None)


if __name__ == "__main__":
    print("built" if build(own_node() if "--own-node" in sys.argv else None) else "already built")
