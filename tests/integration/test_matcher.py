"""The subject matcher against nats-server itself: what a consumer gets is what `matches` says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.js.api import ConsumerConfig

from openclaw_nats.events.subjects import check_pattern, check_subject, matches
from openclaw_nats.inbound.routing import reduce_patterns
from tests.support.processes import NATS_PASSWORD, NatsServer

words = st.sampled_from(["a", "b", "c", "A", "a-b", "é", "x_y"])
patterns = st.builds(
    lambda parts, rest: ".".join(["agent.events", *parts, *([">"] if rest else [])]),
    st.lists(words | st.just("*"), min_size=1, max_size=4),
    st.booleans(),
)
subjects = st.builds(lambda parts: ".".join(["agent.events", *parts]), st.lists(words, min_size=1, max_size=5))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    one = NatsServer(Path(tmp_path_factory.mktemp("matcher")))
    one.start()
    yield one
    one.close()


async def delivered(server: NatsServer, filters: list[str], published: list[str]) -> list[str]:
    """What a consumer with these filter subjects gets of what was published."""
    client = await nats.connect(server.url, user="openclaw-nats", password=NATS_PASSWORD)
    try:
        stream = client.jetstream()
        await stream.add_stream(name="probe", subjects=["agent.events.>"], storage="memory")
        for subject in published:
            await stream.publish(subject, b"")
        config = ConsumerConfig(filter_subjects=filters, ack_policy="none", mem_storage=True)
        subscription = await stream.pull_subscribe("", stream="probe", config=config)
        pending = (await subscription.consumer_info()).num_pending or 0
        messages = await subscription.fetch(pending, timeout=5) if pending else []
        return [message.subject for message in messages]
    finally:
        await stream.delete_stream("probe")
        await client.close()


@given(patterns, st.lists(subjects, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_pattern(server: NatsServer, pattern: str, published: list[str]) -> None:
    check_pattern(pattern)
    for subject in published:
        check_subject(subject)
    expected = [subject for subject in published if matches(pattern, subject)]
    assert asyncio.run(delivered(server, [pattern], published)) == expected


@given(st.lists(patterns, min_size=1, max_size=8), st.lists(subjects, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_reduced_patterns_are_taken_by_the_server_and_lose_nothing(
    server: NatsServer, found: list[str], published: list[str]
) -> None:
    got = asyncio.run(delivered(server, reduce_patterns(found), published))
    assert [subject for subject in got if any(matches(one, subject) for one in found)] == [
        subject for subject in published if any(matches(one, subject) for one in found)
    ]
