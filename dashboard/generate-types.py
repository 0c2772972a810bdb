#!/usr/bin/env python3
"""Writes src/lib/openapi.d.ts from the sidecar's OpenAPI document; with --check it only says whether it is current."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TYPES = HERE / "src" / "lib" / "openapi.d.ts"


def generate(node: str) -> str:
    """The types, made by openapi-typescript (`npm ci` has installed it)."""
    from openclaw_nats.api.openapi import document

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "openapi.json", Path(folder) / "openapi.d.ts"
        source.write_text(json.dumps({**document(), "paths": {}}))  # the answers' shapes are all that is used
        tool = HERE / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
        subprocess.run([node, str(tool), str(source), "-o", str(target)], check=True, capture_output=True, cwd=HERE)
        return target.read_text()


def main() -> int:
    """Write or check; the Node to use is the argument after the option, default `node`."""
    arguments = [one for one in sys.argv[1:] if one != "--check"]
    made = generate(arguments[0] if arguments else "node")
    if "--check" not in sys.argv:
        TYPES.write_text(made)
    elif not TYPES.exists() or TYPES.read_text() != made:
        print(
            "dashboard/src/lib/openapi.d.ts is not what the API says: run dashboard/generate-types.py", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
