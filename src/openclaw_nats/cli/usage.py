"""`openclaw-nats usage`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.output import json_option, line, print_json, table

_KINDS = ("agent", "route", "model", "day")
_TOKENS = ("input", "output", "cacheRead", "cacheWrite")
_COLUMNS = ("turns", "calls", *_TOKENS, "cost", "unpriced", "avoided", "avoidedCost")


@click.command("usage")
@click.option("--by", type=click.Choice(_KINDS), default="agent", help="What to add up by (default agent).")
@click.option("--since", metavar="DURATION", help="The last 24h, 7d …, at most 31d (default 24h).")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head.")
@json_option
def command(as_json: bool, by: str, since: str | None, as_csv: bool) -> None:
    """Show what turns cost: money and tokens by agent, route, model or day (UTC)."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    from urllib.parse import urlencode

    found = client().call("GET", f"/api/spending?{urlencode({'by': by, 'since': since or '24h'})}")
    if as_json:
        print_json(found)
        return
    if as_csv:
        _csv(by, found["lines"])
        return
    if not found["lines"]:
        line("No model answered in that time, as far as events say.")
        return
    head = [by.upper(), "TURNS", "CALLS", "INPUT", "OUTPUT", "FROM CACHE", "COST", "AVOIDED", "WOULD HAVE COST"]
    rows = [_row(one, one["name"] or _unnamed(by)) for one in found["lines"]]
    table(head, [*rows, _row(found["total"], "total")])
    if unpriced := found["total"]["unpriced"]:
        line(f"({unpriced} calls count as 0: neither the Gateway nor `budget.prices` says what they cost.)")
    if not found["complete"]:
        line("(There were more calls: only the newest are counted.)")


def _row(one: dict[str, Any], name: str) -> list[str]:
    tokens = [f"{one[kind]:,.0f}" for kind in _TOKENS[:3]]
    saved = [str(one["avoided"]), f"{one['avoidedCost']:.4f}"] if one["avoided"] else ["", ""]
    return [name, str(one["turns"]), str(one["calls"]), *tokens, f"{one['cost']:.4f}", *saved]


def _unnamed(by: str) -> str:
    return "(no route: chats, heartbeats)" if by == "route" else "(unknown)"


def _csv(by: str, lines: list[dict[str, Any]]) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([by, *_COLUMNS])
    for one in lines:
        writer.writerow([_cell(one["name"]), *(one[column] for column in _COLUMNS)])
    for row in text.getvalue().splitlines():
        line(row)


def _cell(name: str) -> str:
    """A name that no spreadsheet takes for a formula: models and agents are named by others."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t") else name
