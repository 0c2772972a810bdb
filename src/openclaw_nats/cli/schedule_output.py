"""What `cron` and `timers` share: paths of the API, payloads from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click


def path_of(kind: str, name: str, action: str = "") -> str:
    """The API's path of a job or timer."""
    return f"/api/{kind}/{quote(name, safe='')}" + (f"/{action}" if action else "")


def json_of(text: str, option: str) -> Any:
    """JSON from an option; `@FILE` reads a file."""
    try:
        return json.loads(Path(text[1:]).read_text() if text.startswith("@") else text)
    except OSError as error:
        raise click.UsageError(f"{option}: {text[1:]} can't be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(f"{option} must be JSON, such as '{{\"a\": 1}}': {error}") from None
