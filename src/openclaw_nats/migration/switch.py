"""Import and undo. What was done is noted as it is done, so that undo knows it also when something broke off."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from openclaw_nats.errors import OpenClawNatsError, SetupError
from openclaw_nats.installer.openclaw import OpenClaw
from openclaw_nats.locations import Locations
from openclaw_nats.migration import adoption
from openclaw_nats.migration import older as older_parts
from openclaw_nats.migration.older import Older
from openclaw_nats.migration.plan import Item, Plan
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import load

Call = Callable[[str, str, Any], Any]
Say = Callable[[str, str, str], None]
_PATHS = {"route": "/api/routes", "cron job": "/api/cron", "timer": "/api/timers"}
_KEEP = {
    "route": (
        "name",
        "pattern",
        "target",
        "when",
        "filter",
        "template",
        "payload",
        "priority",
        "enabled",
        "flow",
        "retry",
    ),
    "cron job": ("name", "cron", "timezone", "subject", "payload", "priority", "enabled", "missed"),
    "timer": ("name", "at", "subject", "payload", "priority"),
}


class Switch:
    """One move from the older plugin; its record is `migrate.json` in our state directory."""

    def __init__(
        self,
        where: Locations,
        older: Older | None,
        openclaw: OpenClaw,
        call: Call,
        say: Say,
        restart: Callable[[], None],
    ) -> None:
        self._where = where
        self._restart = restart
        self._file = where.home / "migrate.json"
        self._older = older
        self._openclaw = openclaw
        self._call = call
        self._say = say
        self.record: dict[str, Any] = {"made": [], "replaced": [], "stopped": [], "plugin": False, "before": {}}
        if self._file.exists():
            self.record = json.loads(self._file.read_text())

    def run(self, plan: Plan) -> None:
        """Stop the older one, then import; raise SetupError, after which running it again goes on where it stopped."""
        if self._older is None:
            raise SetupError("there is no older plugin to take over from")
        if running := older_parts.services(self._older):
            self._note(
                "stopped", [*self.record["stopped"], *(one for one in running if one not in self.record["stopped"])]
            )
            older_parts.stop(self._older, running)
            self._say("✓", "Services", f"stopped: {', '.join(running)}")
        if older_parts.plugin_is_enabled(self._openclaw):
            self._note("plugin", True)
            older_parts.set_plugin(self._openclaw, enabled=False)
            self._say("✓", "Plugin", f"{older_parts.PLUGIN_ID} is disabled in OpenClaw")
        self._adopt()
        for item in plan.of("add", "replace"):
            self._take(item)
        self._say("✓", "Import", f"{len(plan.of('add', 'replace'))} items were migrated")

    def _adopt(self) -> None:
        assert self._older is not None  # noqa: S101  (run has looked)
        settings = load(self._where.home)
        changes = adoption.wanted(self._older, settings)
        if not changes:
            return
        before = adoption.adopt(self._older, settings, changes)
        self._note("before", {**before, **self.record["before"]})
        self._restart()
        if "port" in before:
            self._say("✓", "Address", f"the sidecar is where the older one was: port {changes['port']}")
        elif "port" in changes:
            self._say("!", "Address", f"port {changes['port']} is taken: scripts that use it have to be changed")
        if "key" in before:
            self._say("✓", "API key", "the older one's key was taken over: scripts need no change")
        if "environment" in before:
            text = "its key is the published default: it was commented out in .env, and scripts need ours"
            self._say("!", "API key", f"{text} ({self._where.api_key})")

    def _take(self, item: Item) -> None:
        if item.kind == "pending event":
            self._call("POST", "/api/publish?origin=outside", item.document)  # whoever said it, it was not the operator
            return
        if item.action == "replace":
            before = self._call("GET", _path(item), None)
            kept = {name: before[name] for name in _KEEP[item.kind] if before.get(name) is not None}
            self._note("replaced", [*self.record["replaced"], {"kind": item.kind, "document": kept}])
        else:
            self._note("made", [*self.record["made"], {"kind": item.kind, "name": item.name}])
        self._call("POST", _PATHS[item.kind], item.document)

    def undo(self) -> list[str]:
        """Take back what `run` did; what can't be taken back is returned, in words."""
        if not self._file.exists():
            raise SetupError("nothing was migrated here: there is nothing to undo")
        left = []
        for made in reversed(self.record["made"]):
            try:
                self._call("DELETE", f"{_PATHS[made['kind']]}/{quote(made['name'], safe='')}", None)
            except OpenClawNatsError as error:
                left.append(f"{made['kind']} {made['name']}: {error}")
        for replaced in reversed(self.record["replaced"]):
            self._call("POST", _PATHS[replaced["kind"]], replaced["document"])
        self._say("✓", "Import", f"{len(self.record['made'])} removed, {len(self.record['replaced'])} put back")
        if self.record["before"]:
            adoption.restore(self._older, self._where, self.record["before"])
            self._restart()
            self._say("✓", "Address and key", "as they were before")
        if self.record["plugin"]:
            older_parts.set_plugin(self._openclaw, enabled=True)
            self._say("✓", "Plugin", f"{older_parts.PLUGIN_ID} is enabled again")
        if self.record["stopped"] and self._older is not None:
            for one in older_parts.start(self._older, self.record["stopped"]):
                left.append(f"{one} was stopped and has to be started by its own `start` command")
        self._file.unlink()
        return left

    def _note(self, name: str, value: Any) -> None:
        self.record[name] = value
        write_private(self._file, json.dumps(self.record, indent=2) + "\n")


def _path(item: Item) -> str:
    return f"{_PATHS[item.kind]}/{quote(item.name, safe='')}"
