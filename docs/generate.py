#!/usr/bin/env python3
"""Write what docs take from the code and from contrib/; with --check only say whether it is up to date."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

import click  # noqa: E402
import msgspec  # noqa: E402
from prometheus_client import CollectorRegistry  # noqa: E402

from openclaw_nats import __version__  # noqa: E402
from openclaw_nats.api import openapi  # noqa: E402
from openclaw_nats.api.problems import PROBLEMS  # noqa: E402
from openclaw_nats.cli.main import COMMANDS, cli  # noqa: E402
from openclaw_nats.cli.output import EXIT_CODES  # noqa: E402
from openclaw_nats.contract import schemas  # noqa: E402
from openclaw_nats.contract.command_line import PRINTED  # noqa: E402
from openclaw_nats.demo.provision import cache_dir, provision_node  # noqa: E402
from openclaw_nats.health.disks import DiskMeters  # noqa: E402
from openclaw_nats.inbound.meters import InboundMeters  # noqa: E402
from openclaw_nats.outbound.meters import IngestMeters, SpoolMeters  # noqa: E402
from openclaw_nats.settings import REGISTRY  # noqa: E402
from openclaw_nats.settings.declaring import AT_START  # noqa: E402
from openclaw_nats.sources.log import DoorMeters  # noqa: E402
from openclaw_nats.watchers.supervisor import WatchMeters  # noqa: E402

FILES = ("README.md", "docs/reference.md", "docs/how-to/fleet.md", "docs/how-to/receive.md")


def table(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def subject_list() -> list[dict[str, str]]:
    """The plugin's own list of what it publishes."""
    node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
    script = 'import { SUBJECTS } from "./plugin/subject-list.js"; console.log(JSON.stringify(SUBJECTS));'
    out = subprocess.run(
        [str(node), "--input-type=module", "-e", script], cwd=ROOT, capture_output=True, check=True
    ).stdout
    found: list[dict[str, str]] = json.loads(out)
    return found


def subjects() -> str:
    """What the plugin publishes."""
    rows = [[f"`agent.events.{one['subject']}`", one["when"], one["data"], one["since"]] for one in subject_list()]
    return table(["subject", "when", "data", "since"], rows)


def recorded() -> dict[str, dict[str, Any]]:
    """An event for each pattern, as tests/gateway/test_events.py recorded it."""
    found: dict[str, dict[str, Any]] = json.loads((ROOT / "docs" / "examples.json").read_text())
    return found


def examples() -> str:
    """Each recorded event."""
    parts = [f"**`{pattern}`**\n\n```json\n{json.dumps(event, indent=2)}\n```" for pattern, event in recorded().items()]
    return "\n" + "\n\n".join(parts) + "\n"


def errors() -> str:
    """The problem types."""
    return table(
        ["name", "status", "title"], [[f"`{name}`", str(code), title] for name, (code, title) in PROBLEMS.items()]
    )


def asyncapi() -> str:
    """The AsyncAPI 3.0 document of the subjects."""
    known = recorded()
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for one in subject_list():
        address = f"agent.events.{one['subject']}"
        name = one["subject"].replace(".*", "-any").replace(".", "-")
        message: dict[str, Any] = {
            "name": name,
            "title": one["when"],
            "summary": f"data: {one['data']}; since OpenClaw {one['since']}",
            "contentType": "application/cloudevents+json",
            "payload": {"$ref": "#/components/schemas/CloudEvent"},
        }
        if address in known:
            message["examples"] = [{"name": "recorded", "payload": known[address]}]
        channels[name] = {"address": address, "messages": {name: message}}
        operations[f"send-{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "summary": one["when"],
        }
    text = {"type": "string"}
    whole = {"type": "integer", "minimum": 0}
    known_as_text = "gatewayid agentid sessionkey sessionid runid causationid traceparent tracestate".split()
    event = {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject"],
        "properties": {
            "specversion": {"const": "1.0"},
            **dict.fromkeys(("id", "source", "type", "subject"), text),
            "time": {"type": "string", "format": "date-time"},
            **dict.fromkeys(known_as_text, text),
            "hops": whole,
            "priority": {"type": "integer", "minimum": 1, "maximum": 10},
            "data": {},
        },
    }
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "openclaw-nats",
            "version": __version__,
            "description": "What OpenClaw Gateways publish. Other programs use agent.events.custom.> and webhook.>.",
        },
        "servers": {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}},
        "channels": channels,
        "operations": operations,
        "components": {"schemas": {"CloudEvent": event}},
    }
    return json.dumps(document, indent=2) + "\n"


def settings() -> str:
    """All settings with default, variable and meaning."""
    rows = []
    for one in REGISTRY:
        variable = f"`{one.variable}`" + (f", `{one.also}`" if one.also else "")
        default = ", ".join(map(str, one.default)) if isinstance(one.default, tuple) else str(one.default)
        when = "" if one.applies == AT_START else one.applies
        rows.append([f"`{one.name}`", f"`{default}`" if default else "(empty)", variable, one.help, when])
    return table(["setting", "default", "environment", "meaning", "applies"], rows)


def endpoints() -> str:
    """The sidecar's endpoints with the statuses they answer."""
    rows = []
    for path, operations in openapi.document()["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            codes = ", ".join(sorted(operation["responses"]))
            rows.append([f"`{method.upper()} {path}`", operation["summary"], codes])
    return table(["endpoint", "what it does", "answers"], rows)


def commands() -> str:
    """The commands."""
    return table(["command", "what it does"], [[f"`openclaw-nats {name}`", text] for name, text in COMMANDS.items()])


def command_details() -> str:
    """Every command with its arguments and options, as `--help` tells them."""
    top = click.Context(cli, info_name="openclaw-nats")
    parts = [part for name in COMMANDS for part in _details(*_below(cli, top, name))]
    return "\n" + "\n\n".join(parts) + "\n"


def _below(group: click.Group, context: click.Context, name: str) -> tuple[click.Command, click.Context]:
    command = group.get_command(context, name)
    if command is None:
        raise LookupError(name)
    return command, click.Context(command, info_name=name, parent=context)


def _details(command: click.Command, context: click.Context) -> Iterator[str]:
    group = isinstance(command, click.Group)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    if context.parent and context.parent.info_name == "openclaw-nats":
        yield f"### {context.info_name}"
    if not group or command.invoke_without_command:
        words = f"{context.command_path} {'' if group else usage}".strip()
        text = " ".join(inspect.cleandoc(command.help or "").replace("\b", "").split())
        options = [one for one in command.params if isinstance(one, click.Option) and one.name != "as_json"]
        records = [record for one in options if (record := one.get_help_record(context))]
        rows = [[f"`{name}`", " ".join(meaning.split())] for name, meaning in records]
        yield f"**`{words}`**: {text}"
        if rows:
            yield table(["option", "meaning"], rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _details(*_below(command, context, name))


def exit_codes() -> str:
    """What exit codes mean."""
    return table(["exit code", "meaning"], [[str(code), text] for code, text in EXIT_CODES.items()])


def metrics() -> str:
    """What `/metrics` counts."""
    registry = CollectorRegistry()
    for meters in (IngestMeters, SpoolMeters, InboundMeters, DiskMeters, DoorMeters, WatchMeters):
        meters(registry)
    rows = [[f"`{one.name}`", one.type, one.documentation] for one in registry.collect()]
    return table(["metric", "type", "meaning"], sorted(rows))


def printed() -> str:
    """What each command prints with `--json`: the shape, its fields and their meaning."""
    rows = []
    for name, shape in sorted(PRINTED.items()):
        many = typing.get_origin(shape) is list
        kinds = typing.get_args(shape) or (shape,)
        kinds = tuple(one for one in kinds if isinstance(one, type) and issubclass(one, msgspec.Struct))
        fields = " or ".join(
            ", ".join(
                f"`{field.encode_name}`" + ("?" if not field.required else "") for field in msgspec.structs.fields(one)
            )
            for one in kinds
        )
        shown = " or ".join(f"`{one.__name__}`" for one in kinds) + (", one a line" if many else "")
        by_name = ", by name" if typing.get_origin(shape) is dict else ""
        rows.append([f"`{name}`", shown + by_name, fields])
    return table(["command", "shape", "fields"], rows)


PARTS = {
    "examples": examples,
    "errors": errors,
    "metrics": metrics,
    "subjects": subjects,
    "settings": settings,
    "endpoints": endpoints,
    "commands": commands,
    "command-details": command_details,
    "exit-codes": exit_codes,
    "printed": printed,
}


def generated(text: str) -> str:
    """The text with every marked part made again."""

    def fill(match: re.Match[str]) -> str:
        return f"<!-- {match[1]} -->\n{PARTS[match[1]]()}\n<!-- /{match[1]} -->"

    def include(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        block = f'```{path.suffix[1:]} title="{match[1]}"\n{path.read_text()}```'
        return f"<!-- file {match[1]} -->\n{block}\n<!-- /file -->"

    text = re.sub(r"<!-- file (\S+) -->\n.*?<!-- /file -->", include, text, flags=re.DOTALL)
    return re.sub(r"<!-- ([a-z-]+) -->\n.*?<!-- /\1 -->", fill, text, flags=re.DOTALL)


def openapi_document() -> str:
    """The OpenAPI 3.1 document, as the sidecar serves it."""
    return json.dumps(openapi.document(), indent=2, ensure_ascii=False) + "\n"


def plugin_tools() -> str:
    """The tools that the plugin registers: what the contract says of them."""
    return (
        "// The agents' tools. Made of src/openclaw_nats/contract/tools.py by docs/generate.py: change it there.\n"
        "// What a tool does, and what it does not allow, is decided in the sidecar; here is nothing to circumvent.\n\n"
        f"export const TOOLS = {json.dumps(schemas.tool_list(), indent=2, ensure_ascii=False)};\n"
    )


WHOLE_FILES = {
    "docs/asyncapi.json": asyncapi,
    "docs/openapi.json": openapi_document,
    "plugin/tool-list.js": plugin_tools,
}


def main() -> int:
    """Write, or check."""
    stale = []
    for name in FILES:
        path = ROOT / name
        text = path.read_text()
        if generated(text) != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(generated(text))
    for name, make in WHOLE_FILES.items():
        path, made = ROOT / name, make()
        if not path.exists() or path.read_text() != made:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(made)
    if stale and "--check" in sys.argv:
        print(f"not up to date: {', '.join(stale)}; run `python docs/generate.py`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
