"""`openclaw-nats routes replay` and `routes replays`."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import json_option, line, print_json, step, table
from openclaw_nats.cli.times import moment
from openclaw_nats.contract.replays import MOST_EVENTS, REPLAY_WHICH


@click.command("replay")
@click.argument("name", shell_complete=completes("routes"))
@click.option("--from", "since", metavar="WHEN", required=True, help="Events since 2h ago …, or an RFC 3339 time.")
@click.option("--to", "until", metavar="WHEN", help="Events before that (default: now).")
@click.option(
    "--only",
    type=click.Choice(REPLAY_WHICH),
    default="failed",
    show_default=True,
    help="Those that became dead letters; that had no delivery, or a dropped or expired one; that were delivered.",
)
@click.option("--limit", type=click.IntRange(1, MOST_EVENTS), default=1000, show_default=True, help="At most so many.")
@click.option("--rate", metavar="COUNT/TIME", help="So many in a time, such as 20/1h (default: no limit).")
@click.option("--also-webhooks", is_flag=True, help="Also when the route's target is a webhook or a subject.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing.")
@json_option
def replay_command(as_json: bool, name: str, dry_run: bool, yes: bool, **given: Any) -> None:
    """Replay: stored events go through the route NAME once more, as new deliveries.

    Without --yes it says first what would happen (turns, money), and asks.
    """
    from urllib.parse import quote

    refuse_agents("replay events")
    wanted = {"from": given["since"], "to": given["until"], "only": given["only"], "limit": given["limit"]}
    wanted |= {"rate": given["rate"], "alsoWebhooks": given["also_webhooks"]}
    path, sidecar = f"/api/routes/{quote(name, safe='')}/replay", client()
    done: dict[str, Any] = {}
    if dry_run or not yes:
        plan = done["plan"] = sidecar.call("POST", path, {**wanted, "dryRun": True})
        if not (as_json and dry_run):
            step("✓", name, plan["summary"], err=as_json)
        if not dry_run and plan["deliveries"]:
            click.confirm("Do this?", default=False, abort=True, err=as_json)
    if "plan" not in done or not (dry_run or not done["plan"]["deliveries"]):
        found = done["replay"] = sidecar.call("POST", path, wanted)
        if not as_json:
            step("✓", f"replay {found['id']} has begun", "`openclaw-nats routes replays` shows how far it is")
    if as_json:
        print_json(done)


@click.command("replays")
@click.option(
    "--stop", "number", type=click.IntRange(1), metavar="NUMBER", help="Stop a replay, drop what waits of it."
)
@json_option
def replays_command(as_json: bool, number: int | None) -> None:
    """List the replays with how far they are, or stop one."""
    sidecar = client()
    if number is not None:
        refuse_agents("stop a replay")
        sidecar.call("DELETE", f"/api/replays/{number}")
    found = sidecar.call("GET", "/api/replays")
    if as_json:
        print_json(found)
        return
    if number is not None:
        step("✓", f"replay {number}", "stopped")
        return
    if not found["replays"]:
        line("No replays. `openclaw-nats routes replay NAME --from 2h` begins one.")
        return
    rows = []
    for one in found["replays"]:
        counts = [str(one[name]) for name in ("made", "delivered", "waiting", "ended", "gone")]
        rows.append([str(one["id"]), one["route"], one["only"], one["state"], moment(one["from"]), *counts])
    table(["REPLAY", "ROUTE", "ONLY", "STATE", "FROM", "MADE", "DELIVERED", "WAITING", "ENDED", "GONE"], rows)
