"""`openclaw-nats runs`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import click

from openclaw_nats.cli.deliveries import check_route, client, given
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, line, print_json, table
from openclaw_nats.cli.times import moment

_RESULTS = ("ok", "failed", "open")


@click.command("runs")
@click.option("--agent", metavar="ID", help="Only this agent's.")
@click.option(
    "--route", metavar="NAME", shell_complete=completes("routes"), help="Only those that this route has woken."
)
@click.option("--session", metavar="KEY", help="Only of this session.")
@click.option("--result", type=click.Choice(_RESULTS), help="Only with this result; open: no end was reported.")
@click.option("--since", metavar="WHEN", help="Only the last 2h …, or since an RFC 3339 time.")
@click.option("--until", metavar="WHEN", help="Only before that.")
@click.option("--limit", type=click.IntRange(1, 200), help="At most so many (default 50).")
@click.option("--cursor", metavar="NUMBER", help="Go on from where the last page ended.")
@json_option
def command(as_json: bool, **options: Any) -> None:
    """List agent runs: what woke them, their result, tools, tokens and cost; newest first."""
    found = client().call("GET", f"/api/runs?{urlencode(given(**options))}")
    if not found["runs"]:
        check_route(options["route"])
    if as_json:
        print_json(found)
        return
    if found["runs"]:
        head = ["BEGAN", "AGENT", "WOKEN BY", "RESULT", "TOOLS", "TOKENS", "COST", "TOOK", "RUN"]
        table(head, [_row(one) for one in found["runs"]], below=("RUN",))
    else:
        line("No run matches." if given(**options).keys() - {"limit"} else "No runs yet.")
    if found["index"]["behind"]:
        line(f"The index lacks the newest {found['index']['behind']} events: it is being made.", err=True)
    if found["index"]["problem"]:
        line(f"The index does not go on: {found['index']['problem']}", err=True)
    if found["cursor"]:
        line(f"More: --cursor {found['cursor']}")


def _row(one: dict[str, Any]) -> list[str]:
    tools = str(one["tools"]) + (f" ({one['failedTools']} failed)" if one["failedTools"] else "")
    tokens = one["input"] + one["output"] + one["cacheRead"] + one["cacheWrite"]
    result = {"open": "no end yet"}.get(one["result"], one["result"])
    cost = (f"{one['cost']:.4f}" if one["cost"] or not one["unpriced"] else "") + ("?" if one["unpriced"] else "")
    took = f"{one['seconds']:.1f} s"
    return [
        moment(one["began"]),
        one["agent"] or "-",
        one["route"] or "-",
        result,
        tools,
        f"{tokens:,.0f}",
        cost,
        took,
        one["run"],
    ]
