"""`openclaw-nats status`."""

from __future__ import annotations

import sys
from typing import Any

import click

from openclaw_nats.cli.fleet_lines import show_fleet
from openclaw_nats.cli.output import json_option, line, print_json, step, table, waiting
from openclaw_nats.cli.times import moment
from openclaw_nats.terminal_text import plural

DOWN = 3
_SECONDS = 10.0
PARTS = ("nats", "sidecar", "gateway", "plugin", "delivery")


@click.command("status")
@json_option
def command(as_json: bool) -> None:
    """Show every part: reachable, since when, which version, its last error. Exit code 3: one is down."""
    report = collect(quiet=as_json)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if not all(report[part]["reachable"] for part in PARTS):
        sys.exit(DOWN)


def collect(*, quiet: bool = False) -> dict[str, Any]:
    """The sidecar's health report; without a sidecar, what can be found out without it."""
    from openclaw_nats.cli.sidecar_client import SidecarClient, SidecarError
    from openclaw_nats.installer.setup import read_record
    from openclaw_nats.locations import Locations
    from openclaw_nats.settings import load

    settings = load()
    try:
        with waiting(f"asking the sidecar at {settings.sidecar.url}", quiet=quiet):
            report: dict[str, Any] = SidecarClient(settings).call("GET", "/api/health", timeout=_SECONDS)
    except SidecarError as error:
        report = _without_sidecar(settings, error)
    report["plugin"]["problems"] = list(report["plugin"].get("problems", [])) + _plugin_problems(report)
    # A Gateway of 2026.3 does not tell its plugins which version it is; setup has noted it.
    report["gateway"]["version"] = report["gateway"].get("version") or read_record(Locations(settings.home)).get(
        "openclawVersion", ""
    )
    report["home"] = str(settings.home)
    return report


def _without_sidecar(settings: Any, error: Any) -> dict[str, Any]:
    """What can be found out while the sidecar does not answer, or does not answer us."""
    from openclaw_nats.cli.sidecar_client import SidecarDown
    from openclaw_nats.doctor.bounded import bounded
    from openclaw_nats.installer.openclaw import gateway_state
    from openclaw_nats.installer.services import service_for
    from openclaw_nats.installer.setup import read_record
    from openclaw_nats.locations import Locations

    if isinstance(error, SidecarDown):
        where = Locations(settings.home)
        kind = read_record(where).get("service", "")
        runs = bounded(lambda: "yes" if service_for(where, kind).running() else "no", "", _SECONDS)
        words = {"yes": "the service runs: see `openclaw-nats logs`", "no": "not running: `openclaw-nats start`"}
        text = f"{error} ({words.get(runs, 'the service manager does not answer')})"
        why = "unknown while the sidecar is down"
    else:
        text = f"{error} ({error.hint})" if error.hint else str(error)
        why = "unknown: the sidecar does not say"
    unknown = {"reachable": False, "known": False, "since": "", "version": "", "lastError": why}
    answer = gateway_state(settings.gateway.url)
    words = {"answers": "", "silent": "is there, but gives no answer for 3 s", "away": "does not answer"}
    gateway = {"known": True, "reachable": answer == "answers", "lastError": words[answer]}
    return {
        "status": "down",
        "sidecar": {"reachable": False, "since": "", "version": "", "lastError": text},
        "nats": dict(unknown),
        "gateway": unknown | gateway,
        "plugin": dict(unknown),
        "delivery": dict(unknown),
    }


def _plugin_problems(report: dict[str, Any]) -> list[str]:
    """What OpenClaw's configuration lacks, also while the plugin itself can't tell."""
    from openclaw_nats.errors import SetupError
    from openclaw_nats.installer.openclaw import OpenClaw

    try:
        openclaw = OpenClaw.find()
        entry, blocked = openclaw.plugin_entry(), openclaw.blocked()
    except SetupError as error:
        return [] if report["plugin"]["reachable"] else [str(error)]
    if blocked:
        return [blocked]
    if not entry:
        return [] if report["plugin"]["reachable"] else ["the plugin is not installed: run `openclaw-nats setup`"]
    problems = []
    if entry.get("enabled") is False:
        problems.append("the plugin is disabled in OpenClaw: run `openclaw-nats setup`")
    wants_access = report["plugin"].get("conversationAccess") is not None
    if wants_access and entry.get("hooks", {}).get("allowConversationAccess") is not True:
        problems.append(
            "plugins.entries.openclaw-nats.hooks.allowConversationAccess is not set: llm.output events are missing. "
            "Run `openclaw-nats setup`."
        )
    reported = report["plugin"].get("problems", [])
    return [] if any("allowConversationAccess" in text for text in reported) else problems


def guard_text(guard: dict[str, Any]) -> str:
    """What the guard can do on this Gateway."""
    known = "knows a turn by its run" if guard["turnsBy"] == "run" else "judges all turns of a guarded turn's session"
    asked = "OpenClaw asks you in turns of a chat" if guard["asks"] else "OpenClaw can't ask you: calls are refused"
    return f"{known}; {asked}, and what is not answered waits (`openclaw-nats approvals`)"


def _show(report: dict[str, Any]) -> None:
    rows = []
    for part in PARTS:
        shown = report[part]
        since = moment(str(shown.get("since", "")))
        state = "up" if shown["reachable"] else "DOWN" if shown.get("known", True) else "unknown"
        rows.append([part, state, since, shown.get("version", ""), shown.get("lastError", "") or "-"])
    table(["part", "state", "since", "version", "last error"], rows, below=["last error"])
    sidecar, plugin, nats = report["sidecar"], report["plugin"], report["nats"]
    line()
    if sidecar["reachable"]:
        line(f"Events in the last minute: {sidecar['eventsLastMinute']}")
    if stream := nats.get("stream"):
        line(f"Stream: {plural(stream['messages'], 'event')}, {stream['bytes'] / 1e6:.1f} MB")
    if spool := plugin.get("spool"):
        lost = f", {spool['dropped']} lost" if spool["dropped"] else ""
        refused = f", {spool['rejected']} refused (spool/rejected.ndjson)" if spool["rejected"] else ""
        line(f"Spool: {spool['events']} events waiting, oldest {spool['oldestSeconds']:.0f} s{lost}{refused}")
    if guard := plugin.get("guard"):
        line(f"Guard: {guard_text(guard)}")
    _show_delivery(report["delivery"])
    if held := report.get("quarantined"):
        wait = plural(held, "request waits", "requests wait")
        step("!", f"{wait} in quarantine", "`openclaw-nats quarantine` lists, releases and drops them")
    _show_expectations(report.get("expectations") or {})
    show_fleet(report["delivery"])
    _show_schedules(report.get("schedules") or {})
    _show_mqtt(report.get("mqtt") or {})
    low = [disk["lastError"] for disk in sidecar.get("disks", []) if disk["low"]]
    near = [report["delivery"].get("inbox", {}).get("note", "")]
    for text in [
        *low,
        *filter(None, near),
        *nats.get("notes", []),
        *plugin.get("problems", []),
        *plugin.get("notes", []),
    ]:
        step("!", text)


def _show_mqtt(mqtt: dict[str, Any]) -> None:
    if not mqtt:
        return
    home = mqtt.get("homeAssistant")
    shown = (
        f"; Home Assistant finds {plural(home['entities'], 'entity', 'entities')}" if home and home["connected"] else ""
    )
    again = f"; {plural(mqtt['storedAgain'], 'event')} stored once more" if mqtt["storedAgain"] else ""
    line(f"MQTT: {mqtt['address']}{again}{shown}")
    for text in (mqtt["lastError"], home["lastError"] if home else ""):
        if text:
            step("!", "MQTT", text)


def _show_expectations(found: dict[str, Any]) -> None:
    """Only what an operator has to know: what is missed, and why it may not be known."""
    if missed := found.get("missed"):
        shown = ", ".join(missed[:5]) + (", …" if len(missed) > 5 else "")
        text = f"{plural(len(missed), 'expectation')} missed: {shown}"
        step("!", text, "`openclaw-nats expect` says what, and `openclaw-nats expect show NAME` since when")
    if found.get("lastError"):
        step("!", f"expectations are not judged: {found['lastError']}")


def _show_schedules(schedules: dict[str, Any]) -> None:
    if schedules.get("jobs") or schedules.get("timers"):
        line(f"Schedules: {plural(schedules['jobs'] or 0, 'cron job')}, {plural(schedules['timers'] or 0, 'timer')}")
    if lost := schedules.get("lost"):
        text = f"left NATS, and nobody removed {'it' if len(lost['names']) == 1 else 'them'} here"
        step("!", f"{plural(len(lost['names']), 'cron job')} {text}", ", ".join(lost["names"]))
    if schedules.get("lastError"):
        step("!", "schedules", schedules["lastError"])
    elif schedules.get("lag"):
        step("!", f"{plural(schedules['lag'], 'fired event')} of schedules not in the events stream yet")


def paused(pauses: list[dict[str, Any]]) -> list[str]:
    """What to say of each pause."""
    from openclaw_nats.health.delivery_text import pause_text

    return [pause_text(one, moment) for one in pauses]


def _show_delivery(delivery: dict[str, Any]) -> None:
    from openclaw_nats.health.delivery_text import costs, spent_budgets

    if "counts" not in delivery:
        return
    counts = ", ".join(f"{count} {state}" for state, count in delivery["counts"].items() if count)
    way = delivery["way"] or "nothing yet"
    line(f"Deliveries: {plural(delivery['routes'], 'route')}, by {way}; {counts or 'none yet'}")
    if inbox := delivery.get("inbox"):
        line(f"Inbox: {inbox['bytes'] / 1e6:.1f} MB of at most {inbox['maxBytes'] / 1e6:.0f} MB")
    if count := delivery.get("approvals"):
        step("!", f"{plural(count, 'call')} of tools waiting for your answer", "`openclaw-nats approvals` lists them")
    for text in paused(delivery.get("pauses", [])):
        step("!", text, "`openclaw-nats resume` ends it")
    for text in spent_budgets(delivery["budgets"], moment):
        step("!", text, "`openclaw-nats pending` lists them, `openclaw-nats config` changes it")
    for text in costs(delivery.get("costBudgets", []), moment):
        step("!", text, "`openclaw-nats config`, or `routes edit --budget` for a route's own, changes it")
    for broken in delivery["openBreakers"]:
        step("!", f"deliveries to {broken['target']} are paused", broken["lastError"])
    if stopped := delivery["loopGuard"]["stopped"]:
        last = delivery["loopGuard"]["last"]
        step(
            "!",
            f"the loop guard stopped {plural(stopped, 'delivery', 'deliveries')}",
            f"the last of route {last['route']}, {last['subject']}",
        )
