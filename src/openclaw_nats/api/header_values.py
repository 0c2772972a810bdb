"""A request's headers as text, each once."""

from __future__ import annotations

from starlette.requests import Request

from openclaw_nats.events import modes


def headers_of(request: Request) -> dict[str, str]:
    """The headers by their names in lower case, several of one name with commas between; an attribute of a CloudEvent
    that appears twice is noted as modes.TWICE.
    """
    given: dict[str, list[str]] = {}
    for name, value in request.headers.items():  # once: asking for each name by itself takes the square of the time
        given.setdefault(name, []).append(value)
    twice = [name for name, values in given.items() if name.startswith("ce-") and len(values) > 1]
    found = {name: _whole(", ".join(values)) for name, values in given.items()}
    return {**found, modes.TWICE: twice[0]} if twice else found


def _whole(value: str) -> str:
    """A header's value, of whose bytes Starlette makes Latin-1; some clients write UTF-8 there, unescaped."""
    try:
        return value if value.isascii() else value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
