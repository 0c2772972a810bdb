"""`openclaw-nats publish`."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

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
@click.option("--outside", is_flag=True, help="Others wrote it: caged and guarded as what a stranger publishes.")
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
    outside: bool,
) -> None:
    """Publish one event on SUBJECT with JSON as its data (`-` reads it from standard input)."""
    from openclaw_nats.cli.sidecar_client import SidecarClient
    from openclaw_nats.events import trace
    from openclaw_nats.settings import load

    data = _json(sys.stdin.buffer.read() if payload == "-" else payload.encode("utf-8", "surrogatepass"))
    body: dict[str, Any] = {"subject": full_subject(subject), "payload": data}
    given = {"id": event_id, "type": event_type, "priority": priority, "sessionKey": session_key}
    body |= {name: value for name, value in given.items() if value is not None}
    headers = {"Content-Type": "application/json"}
    if traceparent:
        headers[trace.HEADER] = trace.given(traceparent)
    where = "/api/publish?routes=true" + ("&origin=outside" if outside else "")
    answer = SidecarClient(load()).call("POST", where, msgspec.json.encode(body), headers=headers)
    if as_json:
        print_json(answer)
        return
    again = " (it was stored before)" if answer["duplicate"] else ""
    step("✓", f"{answer['subject']} is event {answer['sequence']} of the stream{again}", f"id {answer['id']}")
    if not answer.get("routes", True):
        step("!", "no route takes it: it is stored, and wakes nobody", "`openclaw-nats routes` lists them")


def _json(text: bytes) -> msgspec.Raw:
    """JSON as it is written: its numbers are the publisher's; raise BadParameter for what is none."""
    from openclaw_nats.events import content, envelope, json_text

    if len(text) > envelope.MAX_EVENT_BYTES:
        problem = f"{len(text)} bytes long; the limit is {envelope.MAX_EVENT_BYTES}"
        raise click.BadParameter(problem, param_hint="JSON")
    try:
        text.decode()
        return msgspec.json.decode(json_text.well_formed(content.without_mark(text)), type=msgspec.Raw)
    except RecursionError:
        raise click.BadParameter("nested too deeply", param_hint="JSON") from None
    except (UnicodeDecodeError, msgspec.DecodeError) as error:
        raise click.BadParameter(
            f"not valid JSON: {error} (a text needs quotation marks: '\"hello\"')", param_hint="JSON"
        ) from None
