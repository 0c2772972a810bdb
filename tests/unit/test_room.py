"""What is said, and which size is proposed, when a stream does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from openclaw_nats.jetstream.room import largest, no_room, refused_for_room

GIB = 1 << 30
MIB = 1 << 20


def streams(size: int, copies: int = 1) -> list[dict[str, Any]]:
    sizes = (size, min(size, GIB), 16 * MIB, 512 * MIB)
    return [{"max_bytes": one, "num_replicas": copies} for one in sizes]


def total(size: int, copies: int) -> int:
    return sum(one["max_bytes"] * one["num_replicas"] for one in streams(size, copies))


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("free", [1 * GIB, 2 * GIB, 3 * GIB, 5 * GIB, 20 * GIB])
def test_the_proposed_size_fits_and_no_larger_one_does(free: int, copies: int) -> None:
    size = largest(free, streams(4 * GIB, copies), {})
    if size:
        assert total(size, copies) <= free
    assert total(size + MIB, copies) > free


def test_the_largest_stream_of_an_account_counts() -> None:
    assert largest(20 * GIB, streams(4 * GIB), {"limits": {"storage_max_stream_bytes": 700 * MIB}}) == 700 * MIB


def test_the_error_names_setting_sizes_and_what_the_account_has() -> None:
    account = {"limits": {"max_storage": 3 * GIB}, "reserved_storage": GIB + 512 * MIB, "storage": 5}
    wanted = streams(4 * GIB)
    error = no_room("stream agent_events: no", wanted[0], wanted, {"agent_schedules": 512 * MIB}, account)
    assert "reserves 4GiB" in str(error)
    assert "together 5648MiB" in str(error)
    assert "room for 2GiB" in str(error)
    assert "stream.max_bytes 760MiB" in error.hint


def test_an_account_that_wants_sizes_names_the_setting_that_takes_it_away() -> None:
    wanted = streams(4 * GIB)
    wanted[0]["max_bytes"] = -1
    error = no_room("stream agent_events: no", wanted[0], wanted, {}, {})
    assert "stream.max_bytes" in str(error)


def test_other_refusals_are_none_of_this() -> None:
    assert refused_for_room({"err_code": 10047})
    assert refused_for_room({"err_code": 10005, "description": "no suitable peers for placement, insufficient storage"})
    assert not refused_for_room({"err_code": 10005, "description": "no suitable peers for placement, peer offline"})
    assert not refused_for_room({"err_code": 10065})
