"""`openclaw-nats sources`: verified ways in for webhooks, and watchers of what sends nothing."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from openclaw_nats.cli import flags
from openclaw_nats.cli.agents import refuse_agents
from openclaw_nats.cli.deliveries import client
from openclaw_nats.cli.event_lines import full_subject
from openclaw_nats.cli.group import Group
from openclaw_nats.cli.names import completes
from openclaw_nats.cli.output import Styled, json_option, line, print_json, step, table, tell, words
from openclaw_nats.cli.secret_file import kept
from openclaw_nats.cli.sidecar_client import SidecarClient
from openclaw_nats.cli.targets import target_of
from openclaw_nats.cli.times import moment
from openclaw_nats.cli.watch_options import check_password, options_from, watch_options
from openclaw_nats.errors import InvalidInput
from openclaw_nats.sources.file import NO_SECRET, secret_in
from openclaw_nats.sources.naming import base_of
from openclaw_nats.terminal_text import plural

_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_MAX_SECRET = 4096
_secret_option = click.option(
    "--secret-file",
    "--password-file",
    "secret_file",
    type=_FILE,
    help="The secret is in this file (- is standard input).",
)
_to_option = click.option(
    "--secret-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the secret that is made here (0600), do not print it.",
)


@click.group("sources", cls=Group, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, /, as_json: bool) -> None:
    """List sources: each takes in one provider's webhooks, verified, or watches something."""
    if context.invoked_subcommand is None:
        _listed(as_json=as_json)


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List sources."""
    _listed(as_json=as_json)


@command.command("types")
@json_option
def types_command(as_json: bool) -> None:
    """List the types of sources, with the recipes for each."""
    found = client().call("GET", "/api/source-types")
    if as_json:
        print_json(found)
        return
    rows = [[one["type"], _secret_of(one), ", ".join(_names(one["recipes"]))] for one in found["types"]]
    table(["TYPE", "SECRET", "RECIPES (--with)"], rows)
    for text in [one["missing"] for one in found["types"] if one.get("missing")]:
        line(text)


@command.command("show")
@click.argument("name", shell_complete=completes("sources"))
@json_option
def show_command(as_json: bool, name: str) -> None:
    """Show the source NAME: its address or what it watches, what came, and what was refused and why."""
    one = client().call("GET", _path(name))
    if as_json:
        print_json(one)
        return
    _describe(one)
    line()
    refused = ", ".join(f"{count} with {status}" for status, count in one["refused"].items()) or "none"
    line(f"accepted {one.get('accepted', 0)}, repeated {one.get('repeated', 0)}, refused {refused} (since the start)")
    if (signed := one.get("signatures")) and signed["count"]:
        line(
            f"{plural(signed['count'], 'signature is', 'signatures are')} remembered until the secret is replaced, "
            f"since {moment(signed['since'])}; above {signed['most']:,} the oldest go first"
        )
    rows = [
        [moment(log["at"]), str(log["status"]), log.get("event", "-"), log.get("reason", ""), log.get("peer", "-")]
        for log in one.get("requests", [])
    ]
    if rows:
        table(["AT", "ANSWER", "EVENT", "WHY", "FROM"], rows)


@command.command("add")
@click.argument("name")
@click.option("--unsigned", is_flag=True, help="Verify nothing: what comes waits in quarantine.")
@click.option("--type", "kind", help="Which provider sends, or what is watched: `sources types` lists them.")
@watch_options
@_secret_option
@_to_option
@click.option("--no-secret", is_flag=True, help="CloudEvents: its address alone lets in; keep it to yourself.")
@click.option("--subject", help="What the events' subjects begin with; else webhook.NAME or watch.NAME.")
@click.option("--header", help="Types with a token, and http: the header that has it; else Authorization.")
@click.option("--timestamp-header", help="Grafana: the header with the timestamp, if it sends one.")
@click.option("--url", help="The address that is watched; or as the provider has it, where that is signed (Twilio).")
@click.option("--signature", metavar="JSON", help="Type generic: how the sender signs.")
@click.option("--with", "recipe", help="Make a ready route, too: `sources types` lists the recipes.")
@click.option("--wake", metavar="TARGET", help="Whom that route wakes.")
@click.option("--yes", is_flag=True, help="Make the route without asking.")
@json_option
def add_command(
    as_json: bool,
    yes: bool,
    name: str,
    kind: str | None,
    unsigned: bool,
    secret_file: Path | None,
    secret_to: Path | None,
    no_secret: bool,
    recipe: str | None,
    wake: str | None,
    **given: Any,
) -> None:
    """Make the source NAME: an address for one provider, whose requests are verified before anything else; or a
    watcher of files, an address, a program.
    """
    refuse_agents("make a source")
    if unsigned == (kind is not None):
        raise click.UsageError("Say who sends: --type, or --unsigned" + (", not both." if unsigned else "."))
    kind = kind or "unsigned"
    sidecar = client()
    known = {one["type"]: one for one in sidecar.call("GET", "/api/source-types")["types"]}
    if kind not in known:
        from openclaw_nats.suggestions import did_you_mean

        hint = did_you_mean(kind, known, "`openclaw-nats sources types` lists them.")
        raise InvalidInput(f"there is no type of source {kind[:40]!r}", hint=hint)
    route = _route(name, known[kind], recipe, wake, given["subject"])
    options = _options(kind, given)
    if no_secret and (kind != "cloudevents" or secret_file is not None):
        raise click.UsageError("--no-secret is for --type cloudevents, without --secret-file.")
    secret, made = (NO_SECRET, False) if no_secret else _secret(known[kind], secret_file)
    body: dict[str, Any] = {"name": name, "type": kind, "secret": secret, "options": options}
    if given["subject"]:
        body["subject"] = str(full_subject(given["subject"]))
    if route and not (yes or as_json):
        line(f"The route {route['name']}: {route['pattern']} wakes {wake}")
        words(Styled("  its instruction:"), route["instruction"], indent="    ")
        _confirm("Make the source and this route?")
    with kept(secret if made else "", secret_to):
        one = sidecar.call("POST", "/api/sources", body, flags=flags.SOURCE)
    if as_json:
        added = _added(sidecar, route)
        print_json({"source": one, "secret": secret if made and secret_to is None else "", "route": added})
        return
    step("✓", f"source {name}: {one['subject']}.<event>")
    _describe(one)
    if known[kind].get("needsUrl") and not given["url"]:
        step("!", "the address is signed, too", "where a proxy changes it, --url has to say how the provider has it")
    if known[kind].get("watches"):
        line(f"`openclaw-nats sources test {name}` shows what it sees.")
    elif unsigned:
        line("Nothing is verified there: `openclaw-nats quarantine` lists what comes, and releases or drops it.")
    elif made and secret_to is None:
        line(f"Secret:   {secret}   (shown once)")
    elif made:
        line(f"Secret:   in {secret_to}")
    if (added := _added(sidecar, route)) is not None:  # after the secret, which is shown once
        step("✓", f"route {added['name']}: {added['pattern']} wakes {wake}")
        words(Styled("  its instruction:"), added["instruction"], indent="    ")


@command.command("test")
@click.argument("name", shell_complete=completes("sources"))
@json_option
def test_command(as_json: bool, name: str) -> None:
    """Send a signed sample to the source NAME, as the provider would; show what a watcher sees now, storing nothing.

    Routes that take the sample go on as with any event.
    """
    refuse_agents("test a source")
    done = client().call("POST", f"{_path(name)}/test", {})
    if as_json:
        print_json(done)
        return
    if sees := done.get("sees"):
        step("✓", f"sees {sees}")
    else:
        where = f"stored on {done['subject']}" if done["subject"] else "in quarantine"
        step("✓", f"answered {done['status']}; {where}")
    line(f"routes that take it: {', '.join(done['routes']) or 'none'}")


@command.command("rotate")
@click.argument("name", shell_complete=completes("sources"))
@_secret_option
@_to_option
@click.option("--keep", default="1d", show_default=True, help="For how long the secret before counts, too.")
@click.option("--address", is_flag=True, help="Give it a new address, too; the old one ends at once.")
@json_option
def rotate_command(
    as_json: bool, name: str, secret_file: Path | None, secret_to: Path | None, keep: str, address: bool
) -> None:
    """Give the source NAME another secret; the one before counts for a while."""
    from openclaw_nats.settings import parse_duration

    refuse_agents("change a source")
    try:
        seconds = parse_duration(keep)
    except ValueError as error:
        raise InvalidInput(f"--keep: {error}") from None
    sidecar = client()
    one = sidecar.call("GET", _path(name))
    known = {kind["type"]: kind for kind in sidecar.call("GET", "/api/source-types")["types"]}
    secret, made = _secret(known[one["type"]], secret_file)
    body = {"secret": secret, "keep": seconds, "address": address}
    with kept(secret if made else "", secret_to):
        changed = sidecar.call("POST", f"{_path(name)}/rotate", body, flags=flags.SOURCE)
    if as_json:
        print_json({"source": changed, "secret": secret if made and secret_to is None else "", "route": None})
        return
    then = "it counts at once" if one.get("watching") else f"the one before counts for {keep} more"
    step("✓", f"source {name} has another secret; {then}")
    if made and secret_to is None:
        line(f"Secret:   {secret}   (shown once)")
    if address:
        _describe(changed)


@command.command("pause")
@click.argument("name", shell_complete=completes("sources"))
@json_option
def pause_command(as_json: bool, name: str) -> None:
    """Answer 503 to the source NAME: its provider tries again later. A watcher stops looking."""
    changed = _changed(name, paused=True)
    then = "its provider is asked to try again later"
    if changed.get("watching"):
        then = "when you resume it, it sees what has changed meanwhile"
    tell(changed, f"source {name} is paused: {then}", as_json=as_json)


@command.command("resume")
@click.argument("name", shell_complete=completes("sources"))
@json_option
def resume_command(as_json: bool, name: str) -> None:
    """End the pause of the source NAME."""
    tell(_changed(name, paused=False), f"source {name} takes events again", as_json=as_json)


@command.command("remove")
@click.argument("name", shell_complete=completes("sources"))
@json_option
def remove_command(as_json: bool, name: str) -> None:
    """Remove the source NAME and its address; its events stay."""
    from openclaw_nats.contract.command_line import Removed

    refuse_agents("remove a source")
    client().call("DELETE", _path(name))
    tell(Removed(name), f"removed source {name}", as_json=as_json)


@command.command("apply")
@click.option(
    "-f", "--file", "path", type=_FILE, required=True, help="TOML with [[source]] tables (- is standard input)."
)
@click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
@json_option
def apply_command(as_json: bool, path: Path, dry_run: bool) -> None:
    """Make the sources of a file, and change those that differ. Each names its `secret_file`; none is removed."""
    from openclaw_nats.cli.sources_file import apply, read

    refuse_agents("change sources")
    changes = apply(client(), read(path), dry_run=dry_run)
    if as_json:
        print_json({"applied": not dry_run, "changes": changes})
        return
    for one in changes:
        step({"add": "+", "change": "~"}[one["change"]], f"{one['source']}: {one['detail']}")
        for address in one.get("addresses", []):
            line(f"    {address}")
    line("Nothing to change." if not changes else "Nothing was changed (--dry-run)." if dry_run else "Done.")


def _confirm(question: str) -> None:
    """Go on only with a yes; raise InvalidInput for a no, and where nobody can be asked."""
    try:
        if click.confirm(question):
            return
    except click.Abort:
        line()
        raise InvalidInput("nobody could be asked: nothing was made", hint="--yes makes it without asking.") from None
    raise InvalidInput("nothing was made")


def _changed(name: str, *, paused: bool) -> Any:
    refuse_agents("change a source")
    return client().call("PATCH", _path(name), {"paused": paused}, flags=flags.SOURCE)


def _path(name: str) -> str:
    return f"/api/sources/{quote(name, safe='')}"


def _names(recipes: list[dict[str, Any]]) -> list[str]:
    return [one["name"] for one in recipes]


def _options(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options as the API has them."""
    from openclaw_nats.text_formats import from_json

    names = {"header": "header", "timestamp_header": "timestampHeader", "url": "url"}
    watching = options_from(kind, given)
    if watching:
        names.pop("url")
    found: dict[str, Any] = watching | {name: value for flag, name in names.items() if (value := given.get(flag))}
    if signature := given.get("signature"):
        try:
            found["generic"] = from_json(signature)
        except ValueError as error:
            raise InvalidInput(f"--signature is not valid JSON: {error}") from None
    return found


def _secret(kind: dict[str, Any], path: Path | None) -> tuple[str, bool]:
    """(the secret, whether it was made here)."""
    if path is None and kind.get("watches"):
        check_password(kind["type"])
        return "", False
    if path is None and kind["makesSecret"]:
        return secrets.token_urlsafe(32), True
    if path is None:
        raise InvalidInput(f"a source of type {kind['type']} needs --secret-file: {kind['paste']}")
    return read_secret(path), False


def read_secret(path: Path) -> str:
    """The secret in a file, without white space around it; raise InvalidInput."""
    try:
        with click.open_file(str(path), "rb") as file:
            secret = secret_in(path, file.read(_MAX_SECRET))
        if str(path) != "-" and path.stat().st_mode & 0o077:
            step("!", f"{path} can be read by others", f"`chmod 600 {path}`, or remove it: the source has it", err=True)
        return secret
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror}") from None


def _secret_of(kind: dict[str, Any]) -> str:
    if kind.get("watches"):
        return "-"
    return "made here" if kind["makesSecret"] else "the provider's"


def _added(sidecar: SidecarClient, route: dict[str, Any] | None) -> Any:
    return sidecar.call("POST", "/api/routes", route, flags=flags.ROUTE) if route else None


def _route(
    name: str, kind: dict[str, Any], recipe: str | None, wake: str | None, subject: str | None
) -> dict[str, Any] | None:
    """The route of a recipe; raise InvalidInput for one that there is not."""
    if recipe is None and wake is None:
        return None
    if recipe is None or wake is None:
        raise InvalidInput("--with and --wake go together: which recipe, and whom it wakes")
    found = next((one for one in kind["recipes"] if one["name"] == recipe), None)
    if found is None:
        hint = f"For {kind['type']} there are: {', '.join(_names(kind['recipes']))}."
        raise InvalidInput(f"there is no recipe {recipe[:40]!r}", hint=hint)
    base = str(full_subject(subject)) if subject else base_of(kind["type"], name)
    return {
        "name": f"{name}-{recipe}",
        "pattern": f"{base}.{found['pattern']}",
        "target": target_of(wake, "--wake"),
        "instruction": found["instruction"],
        **({"when": found["when"]} if found.get("when") else {}),
    }


def addresses_of(one: dict[str, Any]) -> list[str]:
    """A source's address at the sidecar, and the one through the Gateway's port."""
    from openclaw_nats.settings import load

    settings = load()
    public = settings.sidecar.tls_proxy or settings.sidecar.url
    return [f"{public.rstrip('/')}{one['path']}", f"{settings.gateway.url.rstrip('/')}{one['gatewayPath']}"]


def _describe(one: dict[str, Any]) -> None:
    line(f"Type:     {one['type']}{', paused' if one.get('paused') else ''}")
    if watching := one.get("watching"):
        line(f"State:    {watching['state']}")
        if watching.get("reason"):
            since = f"since {moment(watching['since'])}: " if watching.get("since") else ""
            then = f"; next try {moment(watching['nextTry'])}" if watching.get("nextTry") else ""
            words(Styled("         "), f"{since}{watching['reason']}{then}", indent="          ")
        words(Styled("Watches: "), _options_text(one), indent="          ")
        line(f"Events:   {one['subject']}.<event>")
        return
    direct, through_gateway = addresses_of(one)
    line(f"Address:  {direct}")
    line(f"          {through_gateway}")
    line("          (the second is through the Gateway's port)")
    if how := _options_text(one):
        words(Styled("Options: "), how, indent="          ")
    line(f"Events:   {one['subject']}.<event>")
    words(Styled("There:   "), one["paste"], indent="          ")
    if one.get("secrets", 1) > 1:
        line("Secrets:  two count while it is rotated")


def _options_text(one: dict[str, Any]) -> str:
    """The options of a source in words: `path /in, pattern *.pdf`."""
    found: list[tuple[str, Any]] = []
    for name, value in one.get("options", {}).items():
        found += value.items() if isinstance(value, dict) else [(name, value)]
    shown = [(name, " ".join(map(str, value)) if isinstance(value, list) else value) for name, value in found]
    return ", ".join(f"{name} {value}" for name, value in shown if value not in ("", None, False))


def _listed(*, as_json: bool) -> None:
    found = client().call("GET", "/api/sources")
    if as_json:
        print_json(found)
        return
    if not found["sources"]:
        line("No sources. `openclaw-nats sources add NAME --type TYPE` makes one; `sources types` lists the types.")
        return
    rows = [
        [
            one["name"],
            one["type"],
            one.get("watching", {}).get("state") or ("paused" if one.get("paused") else "on"),
            str(one.get("accepted", 0)),
            str(one.get("repeated", 0)),
            str(sum(one["refused"].values())),
            moment(one["last"]) if one.get("last") else "-",
        ]
        for one in found["sources"]
    ]
    table(["NAME", "TYPE", "STATE", "ACCEPTED", "REPEATED", "REFUSED", "LAST"], rows)
    if found["quarantined"]:
        wait = plural(found["quarantined"], "request waits", "requests wait")
        line(f"{wait} in quarantine: `openclaw-nats quarantine`.")
    if found["strangers"]:
        line(f"{plural(found['strangers'], 'request')} came to addresses that no source has.")
