"""One administrative act as it is written down: what changed, without secrets, and no longer than a record may be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from openclaw_nats.contract.audit import AuditStage
from openclaw_nats.url_secrets import MASK, is_telling, masked_in

MAX_VALUE = 8192  # bytes of what was before, or after
_LONGEST = 500
_DEEPEST = 40


@dataclass
class Act:
    """What is done (`what`: as the command is called) to what (`about`), and how that was before and is after.

    `after` may be set while the act is under way. With `stage` it is one of two records (contract/audit.py).
    """

    what: str
    about: str = ""
    before: object = None
    after: object = None
    stage: AuditStage = "done"
    begun: int = 0
    reason: str = ""

    def shown(self) -> tuple[object, object]:
        """(before, after): of two objects the fields that differ, with secrets masked, shortened if need be."""
        before, after = msgspec.to_builtins(self.before), msgspec.to_builtins(self.after)
        if isinstance(before, dict) and isinstance(after, dict):
            names = [name for name in (before | after) if before.get(name) != after.get(name)]
            before, after = ({name: one[name] for name in names if name in one} for one in (before, after))
        return _bounded(_masked(before)), _bounded(_masked(after))


def text_of(value: str) -> str:
    """A name or a reason as it may be kept: without the secrets of addresses, and not too long."""
    return _readable(masked_in(value)[:_LONGEST])


def _readable(value: str) -> str:
    """Halves of surrogate pairs, which no JSON text can hold, become question marks."""
    return value.encode("utf-8", "replace").decode()


def _masked(value: object, depth: int = 0) -> object:
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, str):
        return _readable(masked_in(value))
    if isinstance(value, dict):
        return {
            name: MASK if is_telling(name) and isinstance(one, str | int | float) and one else _masked(one, depth + 1)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_masked(one, depth + 1) for one in value]
    return value


def _bounded(value: object) -> object:
    """The value, or for a large one how large it is, a digest of it, and how it begins."""
    text = msgspec.json.encode(value)
    if len(text) <= MAX_VALUE:
        return value
    digest = hashlib.sha256(text).hexdigest()
    return {"bytes": len(text), "sha256": digest, "begins": text[:_LONGEST].decode("utf-8", "replace")}
