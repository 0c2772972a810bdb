"""A request's headers as text, each once."""

from __future__ import annotations

from starlette.requests import Request

from openclaw_nats.events import modes


def headers_of(request: Request) -> dict[str, str]:
    """The headers by their names in lower case, several of one name with commas between; an attribute of a CloudEvent
    that appears twice is noted as modes.TWICE.
    """
    found: dict[str, str] = {}
    twice: list[str] = []
    for raw, value in request.scope["headers"]:  # once: asking for each name by itself takes the square of the time
        name = raw.decode("latin-1")
        if name not in found:
            found[name] = _whole(value)
            continue
        found[name] = f"{found[name]}, {_whole(value)}"
        if name.startswith("ce-"):
            twice.append(name)
    return {**found, modes.TWICE: twice[0]} if twice else found


def _whole(value: bytes) -> str:
    """A header's value: Latin-1, as HTTP has it, or UTF-8, which some clients write there, unescaped."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
