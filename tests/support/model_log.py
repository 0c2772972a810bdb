"""What the scripted model was asked: a file to which it appends a line of JSON for each request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def requests(log: Path) -> list[dict[str, Any]]:
    """The requests so far, oldest first; a line that is being written now comes the next time."""
    if not log.exists():
        return []
    complete = log.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in complete.split(b"\n") if line]
