"""The docs' tables are what the code says, and the README's commands exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import msgspec

from openclaw_nats.cli.main import COMMANDS, cli
from openclaw_nats.settings import REGISTRY

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text()


def test_generated_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_in_the_readme_exists() -> None:
    used = set(re.findall(r"openclaw-nats ([a-z]+)", README)) - {"is"}
    assert used <= set(COMMANDS), used - set(COMMANDS)
    assert set(COMMANDS) <= used


def test_every_command_has_help_and_a_file_of_its_own() -> None:
    does_nothing_itself = {"key": ["rotate"]}
    for name in COMMANDS:
        arguments = [name, *does_nothing_itself.get(name, []), "--help"]
        done = subprocess.run(
            [sys.executable, "-m", "openclaw_nats", *arguments], capture_output=True, text=True, check=True
        )
        assert "Usage:" in done.stdout
        assert "--json" in done.stdout, name
        assert (ROOT / "src" / "openclaw_nats" / "cli" / f"{name}.py").is_file()


def test_settings_named_in_the_docs_exist() -> None:
    names = {setting.name for setting in REGISTRY}
    tables = "|".join(sorted({name.partition(".")[0] for name in names if "." in name}))
    for file in ("README.md", "ARCHITECTURE.md", *PAGES):
        found = set(re.findall(rf"`((?:{tables})\.[a-z_]+)", (ROOT / file).read_text()))
        others = {"spool.overflow", "spool.js", "sidecar.py", "sidecar.db", "delivery.py", "gateway.started"}
        assert found - others <= names, found - names


def test_the_first_two_commands_are_the_front_door_and_ci_runs_the_second() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert [block.strip() for block in blocks[:2]] == ["python3 dev.py demo", "python3 dev.py test"]
    assert "exec python3 dev.py test\n" in (ROOT / ".ci" / "run").read_text()


def test_files_linked_in_the_readme_exist() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            assert (ROOT / file).exists(), target
            assert not anchor or f"\n## {anchor}\n" in (ROOT / file).read_text().lower(), target


def test_commands_in_the_docs_exist_with_their_options() -> None:
    for page in ["README.md", *PAGES]:
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if not words or words[0] != "openclaw-nats":
                    continue
                command: click.Command = cli
                parents = []
                for word in words[1:]:
                    if not isinstance(command, click.Group) or word.startswith("-"):
                        break
                    found = command.get_command(click.Context(command), word)
                    assert found is not None, f"{page}: {line}"
                    parents.append(word)
                    command = found
                known = {option for one in command.params for option in [*one.opts, *one.secondary_opts]}
                used = {word for word in words[1 + len(parents) :] if word.startswith("--")}
                assert used <= known, f"{page}: {line}: {used - known}"


def test_links_in_the_docs_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
            if not target.startswith("https://"):
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_the_routes_in_the_docs_are_valid(tmp_path: Path) -> None:
    from openclaw_nats.cli.routes_file import differences, read
    from openclaw_nats.inbound.route import RouteDocument, compile_route, parse

    page = (ROOT / "docs" / "routes.md").read_text()
    file = tmp_path / "routes.toml"
    file.write_text(re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)[0])
    routes = read(file)
    for route in routes:
        compile_route(parse(route))
    assert [change.mark for change in differences(routes, [], prune=False)] == ["+"] * len(routes)
    named = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    assert {field.encode_name for field in msgspec.structs.fields(RouteDocument)} == named


def test_every_metric_is_in_the_reference() -> None:
    from prometheus_client import CollectorRegistry

    from openclaw_nats.inbound.meters import InboundMeters
    from openclaw_nats.outbound.meters import IngestMeters, SpoolMeters
    from openclaw_nats.sources.log import DoorMeters
    from openclaw_nats.watchers.supervisor import WatchMeters

    registry = CollectorRegistry()
    for meters in (IngestMeters, SpoolMeters, InboundMeters, DoorMeters, WatchMeters):
        meters(registry)
    names = {metric.name for metric in registry.collect()}
    page = (ROOT / "docs" / "reference.md").read_text()
    assert not [name for name in sorted(names) if f"`{name}`" not in page]


def test_the_site_builds_with_every_link_right(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("index.html")}
    assert "how-to/lost-event/index.html" in pages
    for page in PAGES:
        name = page.removeprefix("docs/").removesuffix(".md")
        assert (f"{name}/index.html" if name != "index" else "index.html") in pages, page


def test_the_asyncapi_document_has_a_channel_for_each_subject() -> None:
    import json

    document = json.loads((ROOT / "docs" / "asyncapi.json").read_text())
    table = re.findall(r"^\| `(agent\.events\.[^`]+)`", README, re.MULTILINE)
    addresses = [channel["address"] for channel in document["channels"].values()]
    assert sorted(addresses) == sorted(set(table))
    for operation in document["operations"].values():
        assert operation["channel"]["$ref"].removeprefix("#/channels/") in document["channels"]
    assert sum("examples" in m for c in document["channels"].values() for m in c["messages"].values()) > 15
