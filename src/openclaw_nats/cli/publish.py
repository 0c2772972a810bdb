"""`openclaw-nats publish`."""

from __future__ import annotations

import json
import sys

import click

from openclaw_nats.cli.event_lines import full_subject
from openclaw_nats.cli.output import json_option, print_json, step


@click.command("publish")
@click.argument("subject")
@click.argument("payload", metavar="JSON")
@click.option("--id", "event_id", help="Repeating a publish with the same id stores it once.")
@click.option("--type", "event_type", help="CloudEvents type (default: from the subject).")
@click.option("--priority", type=click.IntRange(1, 10), help="1 low … 10 high (default 5).")
@click.option("--session-key", help="The session that the event is about.")
@click.option("--traceparent", envvar="TRACEPARENT", help="The W3C trace that it belongs to (default: $TRACEPARENT).")
@json_option
def command(
    as_json: bool,
    subject: str,
    payload: str,
    event_id: str | None,
    event_type: str | None,
    priority: int | None,
    session_key: str | None,
    traceparent: str | None,
) -> None:
    """Publish one event on SUBJECT with JSON as its data (`-` reads it from standard input)."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.events import trace
    from openclaw_nats.settings import load

    try:
        data = json.loads(sys.stdin.read() if payload == "-" else payload)
    except ValueError as error:
        raise click.BadParameter(f"not valid JSON: {error}", param_hint="JSON") from None
    body = {"subject": full_subject(subject), "payload": data}
    given = {"id": event_id, "type": event_type, "priority": priority, "sessionKey": session_key}
    body |= {name: value for name, value in given.items() if value is not None}
    headers = {trace.HEADER: trace.given(traceparent)} if traceparent else None
    answer = SidecarClient(load()).call("POST", "/api/publish?routes=true", body, headers=headers)
    if as_json:
        print_json(answer)
        return
    again = " (it was stored before)" if answer["duplicate"] else ""
    step("✓", f"{answer['subject']} is event {answer['sequence']} of the stream{again}", f"id {answer['id']}")
    if not answer.get("routes", True):
        step("!", "no route takes it: it is stored, and wakes nobody", "`openclaw-nats routes` lists them")
