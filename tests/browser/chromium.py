"""The browser of the tests: Chromium from an npm package that ships it, locked; elsewhere the one on PATH.

The package is made for Linux on x86-64 and brings the few libraries and the font that a minimal system lacks. It holds
each part compressed with Brotli, which Node unpacks.

Playwright's own Node asks for a library (libatomic) that a minimal system lacks, ours from its wheel does not.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tarfile
from pathlib import Path
from xml.sax.saxutils import escape

from playwright.sync_api import PlaywrightContextManager, sync_playwright

from openclaw_nats.demo.provision import alone, cache_dir, provision_node, run_download

PACKAGE = Path(__file__).with_name("chromium_package")
_PARTS = "node_modules/@sparticuz/chromium/bin"
_UNPACK = """
import fs from "node:fs"; import zlib from "node:zlib";
for (const name of fs.readdirSync(process.argv[1])) if (name.endsWith(".br"))
  fs.writeFileSync(`${process.argv[2]}/${name.slice(0, -3)}`,
                   zlib.brotliDecompressSync(fs.readFileSync(`${process.argv[1]}/${name}`)));
"""
_START = """#!/bin/sh
here={here}
LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_FILE="$here/fonts.conf" exec "$here/chromium" "$@"
"""
# The package's own names places that only its makers have. Without any font the browser ends at the first text field.
_FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{here}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{here}/fonts-cache</cachedir></fontconfig>
"""


def playwright() -> PlaywrightContextManager:
    """Playwright on our Node; downloaded on the first use."""
    node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(node))
    return sync_playwright()


def chromium() -> Path:
    """A program that starts the browser; downloaded on the first use."""
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return _locked()
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert found, "the browser tests need Chromium on PATH here"
    return Path(found)


def _locked() -> Path:
    """The start script of the locked browser, in the cache."""
    lock = (PACKAGE / "package-lock.json").read_bytes()
    folder = cache_dir() / f"chromium-{hashlib.sha256(lock).hexdigest()[:12]}"
    with alone(folder):
        if not (folder / "start").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder)
    return folder / "start"


def _install(folder: Path) -> None:
    """Fill an empty folder; its `start` comes last."""
    shutil.copytree(PACKAGE, folder)
    node = provision_node(cache_dir(), lambda what, seconds: None)
    program, npm = node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = dict(os.environ) | {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    arguments = ["ci", "--ignore-scripts", "--no-fund", "--no-audit", "--prefix", str(folder)]
    run_download([str(program), str(npm), *arguments], "Chromium from npm", environment, lambda what, seconds: None)
    subprocess.run(
        [str(program), "--input-type=module", "-e", _UNPACK, str(folder / _PARTS), str(folder)], check=True, timeout=300
    )
    for archive in folder.glob("*.tar"):
        with tarfile.open(archive) as packed:
            packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 and older have none
            # The graphics library is looked for beside the program.
            packed.extractall(folder if archive.stem == "swiftshader" else folder / archive.stem)  # noqa: S202  (its hash is in the lock)
        archive.unlink()
    shutil.rmtree(folder / "node_modules")
    (folder / "chromium").chmod(0o755)
    (folder / "fonts.conf").write_text(_FONTS.format(here=escape(str(folder))))
    start = folder / "start.new"
    start.write_text(_START.format(here=shlex.quote(str(folder))))
    start.chmod(0o755)
    start.replace(folder / "start")
