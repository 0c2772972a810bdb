"""`openclaw-nats cron`: jobs that publish an event at set times."""

from __future__ import annotations

from typing import Any

import click

from openclaw_nats.cli import flags
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import short_subject
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import block, json_option, line, print_json, table, tell
from openclaw_nats.cli.schedule_output import (
    every_gateway,
    from_option,
    json_of,
    others_of,
    path_of,
    shown_wake,
    take,
    wake_options,
    wish_of,
)
from openclaw_nats.cli.times import moment
from openclaw_nats.cli.unreadable import tell_unreadable
from openclaw_nats.terminal_text import to_json


@click.group("cron", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List and change cron jobs. They fire while the sidecar is down, too."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command("list")
@every_gateway
@json_option
def list_command(as_json: bool, every: bool) -> None:
    """List all jobs with their next three runs."""
    _list(as_json=as_json, every=every)


@command.command("show")
@click.argument("name", shell_complete=completes("cron"))
@json_option
def show_command(as_json: bool, name: str) -> None:
    """Show one job, its next runs and its history."""
    job = client().call("GET", path_of("cron", name))
    runs = client().call("GET", path_of("cron", name, "history") + "?limit=20")["runs"]
    if as_json:
        import msgspec

        from openclaw_nats.contract.command_line import JobDetail

        print_json(msgspec.convert({**job, "history": runs}, JobDetail))
        return
    _show(job)
    if not runs:
        line("It has not run yet.")
        return
    rows = [
        [
            moment(run["scheduledFor"], job["timezone"]),
            "manual" if run["manual"] else run["outcome"],
            moment(run["at"], job["timezone"]),
            ", ".join(f"{one['route']}: {one['state']}" for one in run["deliveries"]) or "-",
        ]
        for run in runs
    ]
    table(["RUN", "WHAT", "AT", "DELIVERIES"], rows, below=["DELIVERIES"])


def _job_options(command: Any) -> Any:
    for option in (
        click.option("--timezone", metavar="ZONE", help="IANA time zone, such as Europe/Berlin."),
        click.option("--subject", help="Subject to publish on [default: agent.events.cron.NAME]."),
        click.option("--payload", metavar="JSON", help="The event's data (@FILE reads a file)."),
        click.option("--priority", type=click.IntRange(1, 10), help="1 low … 10 high."),
        click.option("--missed", metavar="POLICY", help="skip, run_once [default] or within:DURATION."),
    ):
        command = option(command)
    return command


@command.command("add")
@click.argument("name")
@click.argument("expression")
@_job_options
@wake_options
@click.option("--paused", is_flag=True, help="Create it paused.")
@json_option
def add_command(as_json: bool, name: str, expression: str, paused: bool, **given: Any) -> None:
    """Create the job NAME, or replace it: at the times of EXPRESSION an event is published, and --wake gets a turn.

    EXPRESSION is cron's five fields, or six with seconds first: '30 8 * * MON-FRI', '@daily'.
    """
    fields = {key: value for key, value in _fields(given).items() if value is not None or key == "payload"}
    body = {"name": name, "cron": expression, **fields, **({"enabled": False} if paused else {})}
    job = client().call("POST", "/api/cron", body, flags=flags.JOB)
    tell(job, f"job {name} {_does(job)}; {_next(job)}", as_json=as_json)


@command.command("edit")
@click.argument("name", shell_complete=completes("cron"))
@click.option("--cron", "expression", help="Other times.")
@_job_options
@wake_options
@json_option
def edit_command(as_json: bool, name: str, expression: str | None, **given: Any) -> None:
    """Change fields of the job NAME; the others stay."""
    changes = {**_fields(given), **({"cron": expression} if expression else {})}
    if not changes:
        raise click.UsageError("Nothing to change was given.")
    job = client().call("PATCH", path_of("cron", name), changes, flags=flags.JOB)
    tell(job, f"changed job {name}; {_next(job)}", as_json=as_json)


@command.command("remove")
@click.argument("name", shell_complete=completes("cron"))
@json_option
def remove_command(as_json: bool, name: str) -> None:
    """Remove the job NAME."""
    client().call("DELETE", path_of("cron", name))
    from openclaw_nats.contract.command_line import Removed

    tell(Removed(name), f"removed job {name}", as_json=as_json)


@command.command("take")
@click.argument("name")
@from_option
@json_option
def take_command(as_json: bool, name: str, gateway: str) -> None:
    """Make the job NAME of a Gateway that is gone one of this Gateway. It fires each time once, whatever happens."""
    job = take("cron", name, gateway)
    told = f" with: {job['instruction']}" if job["instruction"] else ""
    tell(job, f"took job {name} over from {gateway}; it {_does(job)}{told}; {_next(job)}", as_json=as_json)


@command.command("run")
@click.argument("name", shell_complete=completes("cron"))
@json_option
def run_command(as_json: bool, name: str) -> None:
    """Fire the job NAME now, as well as at its times."""
    fire = client().call("POST", path_of("cron", name, "run"))
    tell(fire, f"fired job {name} as event {fire['id']}", as_json=as_json)


@command.command("pause")
@click.argument("name", shell_complete=completes("cron"))
@json_option
def pause_command(as_json: bool, name: str) -> None:
    """Pause the job NAME until it is resumed."""
    tell(client().call("POST", path_of("cron", name, "pause")), f"paused job {name}", as_json=as_json)


@command.command("resume")
@click.argument("name", shell_complete=completes("cron"))
@json_option
def resume_command(as_json: bool, name: str) -> None:
    """Resume the job NAME, from now on."""
    job = client().call("POST", path_of("cron", name, "resume"))
    tell(job, f"resumed job {name}; {_next(job)}", as_json=as_json)


def _list(*, as_json: bool, every: bool = False) -> None:
    found = client().call("GET", "/api/cron")
    others = others_of("jobs") if every else []
    if every:
        found["others"] = others
    if as_json:
        print_json(found)
        return
    tell_unreadable(found, "cron job", "cron remove")
    jobs = found["jobs"]
    if not jobs:
        line("No cron jobs. `openclaw-nats cron add NAME '30 8 * * *'` makes one.")
    else:
        _show_jobs(jobs)
    if others:
        line()
        line("Of other Gateways on this NATS:")
        rows = [
            [
                one["gateway"],
                one["name"],
                one["cron"],
                moment(one["nextRuns"][0], one["timezone"]) if one["nextRuns"] else "paused",
                one["madeBy"] or "operator",
                short_subject(one["subject"]),
            ]
            for one in others
        ]
        table(["GATEWAY", "NAME", "CRON", "NEXT RUN", "MADE BY", "SUBJECT"], rows, below=["SUBJECT", "MADE BY"])


def _show_jobs(jobs: list[dict[str, Any]]) -> None:
    rows = []
    for job in jobs:
        zone = job["timezone"]
        runs = [moment(run, zone) for run in job["nextRuns"]]
        rows.append(
            [
                job["name"],
                job["cron"],
                runs[0] if runs else "paused",
                moment(job["lastRun"]["at"], zone) if job["lastRun"] else "never",
                job["madeBy"] or "operator",
                shown_wake(job["wake"]) or "-",
                short_subject(job["subject"]),
                "  ".join(runs[1:]),
            ]
        )
    headers = ["NAME", "CRON", "NEXT RUN", "LAST RUN", "MADE BY", "WAKES", "SUBJECT", "THEN"]
    table(headers, rows, below=["LAST RUN", "WAKES", "SUBJECT", "MADE BY", "THEN"])


def _show(job: dict[str, Any]) -> None:
    for key in ("name", "cron", "timezone", "subject", "missed", "enabled", "priority", "payload"):
        if job[key] is not None:
            line(f"{key:10} {job[key] if isinstance(job[key], str) else to_json(job[key])}")
    if job["wake"]:
        line(f"{'wakes':10} {shown_wake(job['wake'])}")
    if job["instruction"]:
        line("instruction")
        block(job["instruction"])
    where = f" in {job['madeIn']}" if job["madeIn"] else ""
    line(f"made by    {job['madeBy'] or 'operator'}{where}")
    for number, run in enumerate(job["nextRuns"]):
        here = "" if moment(run) == moment(run, job["timezone"]) else f" ({moment(run)} here)"
        line(f"{'' if number else 'next runs':10} {moment(run, job['timezone'])}{here}")
    if not job["nextRuns"]:
        line("next runs  none: the job is paused")


def _does(job: dict[str, Any]) -> str:
    return f"wakes {shown_wake(job['wake'])}" if job["wake"] else f"publishes {job['subject']}"


def _next(job: dict[str, Any]) -> str:
    return f"next run {moment(job['nextRuns'][0], job['timezone'])}" if job["nextRuns"] else "paused"


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    wish = wish_of(given)
    found = {name: value for name, value in given.items() if value is not None} | wish
    if "payload" in found:
        found["payload"] = json_of(found["payload"], "--payload")
    return found
