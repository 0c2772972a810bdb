"""What has to be installed beside an OpenClaw that is not installed globally."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openclaw_nats.demo.provision import missing_beside

GLOBAL_ONLY = 'if (env.npm_config_global !== "true") {\n    return;\n  }'


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """OpenClaw with two plugins, of whose four packages two are there."""
    package = tmp_path / "node_modules" / "openclaw"
    plugins = {
        "slack": {"dependencies": {"@slack/web-api": "^7.15.0", "ws": "^8"}},
        "telegram": {"dependencies": {"grammy": "1.0.0"}, "optionalDependencies": {"@slack/web-api": "1", "zod": "4"}},
    }
    for name, manifest in plugins.items():
        folder = package / "dist" / "extensions" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps(manifest))
    (package / "node_modules" / "ws").mkdir(parents=True)
    (package.parent / "zod").mkdir()
    (package / "scripts").mkdir()
    return package


def test_what_only_a_global_install_brings_is_brought(package: Path) -> None:
    (package / "scripts" / "postinstall-bundled-plugins.mjs").write_text(GLOBAL_ONLY)
    assert missing_beside(package) == {"@slack/web-api": "^7.15.0", "grammy": "1.0.0"}


@pytest.mark.parametrize("script", [None, "run();"])
def test_a_release_that_sees_to_it_itself_gets_nothing_more(package: Path, script: str | None) -> None:
    if script is not None:
        (package / "scripts" / "postinstall-bundled-plugins.mjs").write_text(script)
    assert missing_beside(package) == {}
