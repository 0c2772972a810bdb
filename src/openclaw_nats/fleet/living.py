"""Whether a Gateway of another name is surely gone: then its jobs may be taken over."""

from __future__ import annotations

from openclaw_nats.fleet.lease import LEASE_SECONDS, claim_of
from openclaw_nats.fleet.place import Place

_BACK = "Give this installation that gateway.id once (`openclaw-nats config set gateway.id …`), then its own again."


def why_not_gone(gateway: str, lease: tuple[float, bytes] | None, place: Place, now: float) -> str:
    """Why a Gateway must be taken for living; empty when it is gone: its lease has ended, ran out, or was ours.

    `lease` is when it was written and what it says; that time and `now` are of one clock, the stream's.
    """
    if lease is None:
        return f"no sidecar is known to have run as {gateway!r}: whether it is gone can't be known. {_BACK}"
    claim = claim_of(lease[1])
    if claim is None:
        return f"the lease of {gateway!r} is another version's: whether it is gone can't be known. {_BACK}"
    if claim.ended or claim.place == place or now - lease[0] > LEASE_SECONDS:
        return ""
    return (
        f"{gateway!r} runs at {claim.place.shown}: what is its own is taken only when it is gone. Stop it there, or "
        "remove the job there and make it here"
    )
