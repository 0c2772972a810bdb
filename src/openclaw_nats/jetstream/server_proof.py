"""What a nats-server of ours proves itself with. Alone in its file: commands that speak no NATS need it."""

from __future__ import annotations

import hashlib


def server_proof(seed: str) -> str:
    """What a nats-server of ours says once it has seen that we have the seed: a subject, in our user's permissions."""
    return "openclaw-nats.proof." + hashlib.sha256(f"server proof\n{seed.strip()}".encode()).hexdigest()
