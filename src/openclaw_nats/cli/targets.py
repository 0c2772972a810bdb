"""A target as it is written on a command line."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.text_formats import from_json


def target_of(text: str, option: str = "TARGET") -> Any:
    """A target for the API: `main`, a session key, `agent:ID`, `wake[:ID]`, an address, `subject:SUBJECT`, or JSON."""
    if text.startswith("{"):
        try:
            return from_json(text)
        except ValueError as error:
            raise click.BadParameter(f"not valid JSON: {error}", param_hint=option) from None
    if text.startswith(("http://", "https://")):
        return {"kind": "webhook", "url": text}
    kind, _, rest = text.partition(":")
    if kind == "wake":
        return {"kind": "wake", **({"agentId": rest} if rest else {})}
    if kind == "subject":
        return {"kind": "subject", "subject": rest}
    if kind == "agent" and ":" not in rest:
        return {"kind": "agent", "agentId": rest}
    return text
