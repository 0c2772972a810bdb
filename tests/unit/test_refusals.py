"""What NATS says that its user may not do, in words."""

from __future__ import annotations

import pytest

from openclaw_nats.jetstream.refusals import REMEMBERED_SECONDS, Refusals, in_words


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("$js.api.stream.info.agent_events", "$JS.API.STREAM.INFO.agent_events"),
        ("$js.hub.api.consumer.msg.next.agent_events.x", "$JS.hub.API.CONSUMER.MSG.NEXT.agent_events.x"),
        ("$js.api.info", "$JS.API.INFO"),
        ("$js.ack.agent_events.openclaw-nats-vm.1.1.1.1795713504173443936.0", "$JS.ACK.>"),
        ("agent.dlq.custom.x", "agent.dlq.custom.x"),
    ],
)
def test_a_refused_publish_names_what_is_to_be_allowed(said: str, shown: str) -> None:
    text = f'nats: permissions violation for publish to "{said}"'
    assert in_words(text) == f"NATS does not let this user publish on {shown}"
    found = Refusals("_INBOX_kitchen")
    assert found.note(text) == said
    assert found.on(shown.removesuffix(">")) == in_words(text)
    assert found.on("somewhere.else") == ""


def test_an_acknowledgement_is_new_once_and_a_refusal_is_forgotten_when_it_is_not_repeated() -> None:
    now = 1000.0
    found = Refusals("_INBOX", lambda: now)
    text = 'nats: Permissions Violation for Publish to "$JS.ACK.agent_events.c.1.{0}.{0}.1.0"'
    assert not found.known(text.format(1))
    found.note(text.format(1))
    assert found.known(text.format(2))
    now += REMEMBERED_SECONDS + 1
    assert not found.known(text.format(3))
    assert not found.on("$JS.ACK.")
    for number in range(10_000):
        found.note(text.format(number))
    assert found.on("$JS.ACK.")


def test_without_answers_nothing_is_asked_until_it_is_time_to_subscribe_again() -> None:
    now = 1000.0
    found = Refusals("_INBOX_kitchen", lambda: now)
    assert found.note('nats: permissions violation for subscription to "agent.foreign.>"') is None
    assert not found.deaf
    found.note('nats: permissions violation for subscription to "_inbox_kitchen.0123.*"')
    assert "_INBOX_kitchen.>" in found.deaf
    assert "nats.inbox_prefix" in found.deaf
    assert not found.hear_again()
    now += REMEMBERED_SECONDS + 1
    assert found.hear_again()
    assert not found.deaf
