#!/usr/bin/env python3
"""Pins the image that the container is built on: writes the digest which its tag has today into the Dockerfile.

python release/base_image.py              ask Docker Hub, write the digest; what changed is printed
python release/base_image.py --check      only say whether there is a digest (no network); exit code 1 without one
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "src" / "openclaw_nats" / "installer" / "container" / "Dockerfile"
REGISTRY = "https://registry-1.docker.io"
SIGN_IN = "https://auth.docker.io/token?service=registry.docker.io&scope="
KINDS = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"
_FROM = re.compile(r"^FROM (?P<name>[a-z0-9/]+):(?P<tag>[\w.-]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?$", re.MULTILINE)
_SECONDS = 30
_MOST = 1 << 20  # bytes of an answer


def base(text: str) -> re.Match[str]:
    """The FROM line of a Dockerfile; raise ValueError when there is not exactly one that names a tag."""
    found = list(_FROM.finditer(text))
    if len(found) != 1:
        raise ValueError(f"the Dockerfile must have one line `FROM name:tag`, and has {len(found)}")
    return found[0]


def digest_of(name: str, tag: str, registry: str = REGISTRY, sign_in: str = SIGN_IN) -> str:
    """The digest of an image for all platforms; raise OSError or ValueError when there is none."""
    path = name if "/" in name else f"library/{name}"
    with _open(sign_in + urllib.parse.quote(f"repository:{path}:pull"), {}) as answer:
        token = json.loads(answer.read(_MOST))["token"]
    headers = {"Accept": KINDS, "Authorization": f"Bearer {token}"}
    with _open(f"{registry}/v2/{path}/manifests/{tag}", headers) as answer:
        body = answer.read(_MOST)
    if not json.loads(body).get("manifests"):
        raise ValueError(f"{name}:{tag} is not an image for several platforms")
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _open(url: str, headers: dict[str, str]) -> IO[bytes]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (our own addresses)
    return urllib.request.urlopen(request, timeout=_SECONDS)  # type: ignore[no-any-return]  # noqa: S310


def main() -> int:
    """Write or check; the exit code."""
    text = DOCKERFILE.read_text()
    found = base(text)
    if "--check" in sys.argv:
        if found["digest"] is None:
            print("Error: the base image has no digest: run python release/base_image.py", file=sys.stderr)
        return 0 if found["digest"] else 1
    try:
        digest = digest_of(found["name"], found["tag"])
    except (OSError, ValueError, KeyError) as error:
        print(f"Error: the digest of {found['name']}:{found['tag']} can't be had: {error}", file=sys.stderr)
        return 1
    DOCKERFILE.write_text(text.replace(found[0], f"FROM {found['name']}:{found['tag']}@{digest}"))
    print(f"{found['name']}:{found['tag']} is {digest}" + ("" if digest != found["digest"] else " (as before)"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
