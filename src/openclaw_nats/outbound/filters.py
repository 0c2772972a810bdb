"""Which subjects may leave the Gateway: the operator's allow and block lists. The plugin applies the same rule."""

from __future__ import annotations

from functools import lru_cache

from openclaw_nats.events.subjects import matches_any


class SubjectFilter:
    """Allows a subject that an allow pattern covers and no block pattern does."""

    def __init__(self, allow: tuple[str, ...], block: tuple[str, ...]) -> None:
        @lru_cache(maxsize=4096)
        def allows(subject: str) -> bool:
            return matches_any(allow, subject) and not matches_any(block, subject)

        self.allows = allows
