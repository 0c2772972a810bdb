#!/usr/bin/env python3
"""What a release consists of, in `dist/`: sdist, a wheel made from it, and the list of what is inside (CycloneDX SBOM).

`--tag v1.2.3` (the tag that is released) must be the version of
pyproject.toml and of the plugin, and have a dated heading in the changelog.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import base_image

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def disagreements(tag: str, root: Path = ROOT) -> list[str]:
    """Where something in `root` does not fit the tag; empty when it may be released."""
    version = tag.removeprefix("v")
    found = {
        "pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"],
        "plugin/package.json": json.loads((root / "plugin" / "package.json").read_text())["version"],
    }
    wrong = [f"{file} says {theirs}, the tag {tag}" for file, theirs in found.items() if theirs != version]
    if tag == version:
        wrong.append(f"the tag {tag} does not begin with v")
    if not re.search(
        rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE
    ):
        wrong.append(f"CHANGELOG.md has no heading `## {version} (date)`")
    dockerfile = root / "src" / "openclaw_nats" / "installer" / "container" / "Dockerfile"
    if base_image.base(dockerfile.read_text())["digest"] is None:
        wrong.append("the container's base image has no digest: run python release/base_image.py")
    return wrong


def build(target: str, source: Path) -> Path:
    """Build sdist or wheel of `source` into DIST; returns its file. Raise CalledProcessError."""
    before = set(DIST.iterdir())
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(DIST)], cwd=source, check=True)
    return next(iter(set(DIST.iterdir()) - before))


def main() -> int:
    """Build everything; the exit code is 1 when the tag fits nothing."""
    if sys.argv[1:2] == ["--tag"] and (wrong := disagreements(sys.argv[2])):
        for line in wrong:
            print(f"Error: {line}", file=sys.stderr)
        return 1
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    sdist = build("sdist", ROOT)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        build("wheel", next(Path(folder).iterdir()))
    listing = ["-m", "cyclonedx_py", "requirements", "requirements.lock", "--pyproject", "pyproject.toml"]
    output = ["--mc-type", "application", "--output-reproducible", "-o", str(DIST / "sbom.cdx.json")]
    subprocess.run([sys.executable, *listing, *output], cwd=ROOT, check=True)
    for path in sorted(DIST.iterdir()):
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
