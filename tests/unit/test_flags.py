"""Errors of the API in the words of the command line: each field by its flag."""

from __future__ import annotations

import click
import msgspec
import pytest

from openclaw_nats.cli import flags
from openclaw_nats.cli.main import cli
from openclaw_nats.contract.routes import Flow, RouteDocument
from openclaw_nats.contract.schedules import JobDocument, TimerDocument


@pytest.mark.parametrize(
    ("message", "field", "shown"),
    [
        ("when: line 1, column 4: what", "when", "--when: line 1, column 4: what"),
        ("priority must be a whole number", "priority", "--priority must be a whole number"),
        ("flow.debounce must be a duration", "flow.debounce", "--debounce must be a duration"),
        ("flow.batch.size must be at least 1", "flow.batch.size", "--batch (size) must be at least 1"),
        ("flow.quietHours.from and to are equal", "flow.quietHours.from", "--quiet (from) and to are equal"),
        ("target.url must be an address", "target.url", "TARGET (url) must be an address"),
        ("'a.>.b' has a > before its end", "pattern", "PATTERN: 'a.>.b' has a > before its end"),
        ("retry.attempts must be a number", "retry.attempts", "retry.attempts must be a number"),
        ("there are 5000 routes already", "", "there are 5000 routes already"),
    ],
)
def test_a_message_names_the_flag(message: str, field: str, shown: str) -> None:
    assert flags.in_flags(message, field, flags.ROUTE) == shown


def test_flags_are_those_of_the_commands_and_fields_those_of_the_contract() -> None:
    for names, command, shapes in (
        (flags.ROUTE, "routes add", (RouteDocument,)),
        (flags.JOB, "cron add", (JobDocument,)),
        (flags.TIMER, "timers set", (TimerDocument,)),
    ):
        found: click.Command = cli
        for word in command.split():
            assert isinstance(found, click.Group)
            inner = found.get_command(click.Context(found), word)
            assert inner is not None
            found = inner
        given = {option for one in found.params for option in (*one.opts, one.human_readable_name)}
        fields = {field.encode_name for shape in shapes for field in msgspec.structs.fields(shape)}
        fields |= {f"flow.{field.encode_name}" for field in msgspec.structs.fields(Flow)}
        assert set(names) <= fields
        assert {name for name in names.values() if name.startswith("--")} <= given
        assert {name for name in names.values() if not name.startswith("--")} <= given
