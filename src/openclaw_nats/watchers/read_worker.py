"""The process that reads feeds, calendars and mails (sandbox/child.py). What it imports is read there alone."""

from __future__ import annotations

import base64
import importlib
from typing import Any

import msgspec

from openclaw_nats.sandbox.child import serve

CPU_SECONDS = 8.0
_KINDS = ("feed", "calendar", "mail")


def answer(line: bytes) -> bytes:
    """What a text holds, or why it can't be read."""
    request: dict[str, Any] = msgspec.json.decode(line)
    kind, body = request.pop("kind"), base64.b64decode(request.pop("body"))
    if kind not in _KINDS:
        return b'{"found": null}'
    try:
        found = importlib.import_module(f"openclaw_nats.watchers.{kind}_text").read(body, **request)
        return msgspec.json.encode({"found": found})
    except MemoryError:
        return msgspec.json.encode({"error": "it needs too much memory"})
    except RecursionError:
        return msgspec.json.encode({"error": "it is nested too deeply"})
    except Exception as error:  # whatever a library raises: the text is foreign
        name = "" if type(error) is ValueError else f"{type(error).__name__}: "
        said = f"{name}{error}"[:300].encode("utf-8", "replace").decode()
        return msgspec.json.encode({"error": said})


def main() -> None:
    """Answer requests until the input ends."""
    serve(answer, CPU_SECONDS)
