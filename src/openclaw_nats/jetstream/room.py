"""What to do when a stream does not fit into the room that NATS, or our account there, has for it.

JetStream reserves `max_bytes` of every stream when it is made, in an account without tiers once for each replica. What
is left of an account is in its API (`INFO`); what a server has on its disk, it does not say.
"""

from __future__ import annotations

from typing import Any

from openclaw_nats.errors import StreamConflict
from openclaw_nats.settings import format_size

# no suitable peers, 10005; account limits, 10002 and 10028; insufficient resources, 10023; memory or storage of the
# server, 10047; an account that wants sizes, 10113; a stream larger than the account allows, 10122.
_CODES = (10002, 10005, 10023, 10028, 10047, 10113, 10122)
_MIB = 1 << 20
_LEAST = 16 * _MIB


def refused_for_room(error: dict[str, Any]) -> bool:
    """Whether JetStream's error means that a stream's size, or that it has none, is what is in the way."""
    code = error.get("err_code")
    if code == 10005:  # also said for tags and peers that are away
        return "storage" in str(error.get("description", ""))
    return code in _CODES


def no_room(
    text: str,
    config: dict[str, Any],
    wanted: list[dict[str, Any]],
    reserved: dict[str, int],
    account: dict[str, Any],
) -> StreamConflict:
    """The error for the operator: what was refused, how much all our streams need, and a size that fits.

    `wanted` are our streams' configurations, `reserved` what those that exist reserve now, `account` JetStream's INFO.
    """
    if any(one.get("max_bytes", -1) <= 0 for one in wanted):
        hint = "This NATS wants a size for every stream: `openclaw-nats config set stream.max_bytes 4GiB`."
        return StreamConflict(f"{text}; stream.max_bytes is 0 (no limit)", hint=hint)
    size, copies = config["max_bytes"], config.get("num_replicas", 1)
    need = sum(one["max_bytes"] * one.get("num_replicas", 1) for one in wanted)
    each = f", in {copies} copies" if copies > 1 else ""
    text = f"{text}: it reserves {_shown(size)}{each}, and all streams of ours together {_shown(need)}"
    raised = "or raise the account's limit or `max_file_store` of nats-server"
    free = _free(account, sum(reserved.values()))
    if free is None:
        hint = f"Set stream.max_bytes to less (`openclaw-nats config set stream.max_bytes 1GiB`), {raised}."
        return StreamConflict(text, hint=hint)
    text = f"{text}; this account has room for {_shown(free)} of them"
    fits = largest(free, wanted, account)
    if fits < _LEAST:
        return StreamConflict(text, hint=f"That is too little for stream.max_bytes to help: {raised[3:]}.")
    command = f"`openclaw-nats config set stream.max_bytes {_shown(fits)}`"
    return StreamConflict(text, hint=f"Set stream.max_bytes to {_shown(fits)} or less ({command}), {raised}.")


def largest(free: int, wanted: list[dict[str, Any]], account: dict[str, Any]) -> int:
    """The largest stream.max_bytes, in whole MiB, with which all streams fit; 0 when none does.

    The first two of `wanted` follow the setting: events, and dead letters, which are never larger than 1 GiB.
    """
    copies = wanted[0].get("num_replicas", 1)
    left = (free - sum(one["max_bytes"] * one.get("num_replicas", 1) for one in wanted[2:])) // copies
    most: int = left // 2 if left < 2 << 30 else left - (1 << 30)
    limit = int(_limits(account).get("storage_max_stream_bytes", 0))
    if limit > 0:
        most = min(most, limit)
    return max(0, most) // _MIB * _MIB


def _free(account: dict[str, Any], ours: int) -> int | None:
    """Bytes that the account has for our streams, with what they have reserved; None when it has no limit."""
    most = int(_limits(account).get("max_storage", -1))
    if most <= 0:
        return None
    taken = max(int(account.get("reserved_storage", 0)), int(account.get("storage", 0)))
    return max(0, most - max(0, taken - ours))


def _limits(account: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = account.get("limits") or {}
    return found


def _shown(size: int) -> str:
    return format_size(max(0, size) // _MIB * _MIB)
