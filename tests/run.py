#!/usr/bin/env python3
"""All checks and tests, the fast ones first. Arguments go to pytest: `python3 dev.py test tests/unit -k subjects`.

`--fast` alone is what needs no Gateway, no browser and no waiting: all checks, the plugin's and the dashboard's tests,
and tests/unit.

`--all` alone is also what runs at night: Gateway tests once more on older releases, chaos at full length.

`--coverage` alone measures what the unit tests reach, and holds the floors (tests/support/coverage_floors.py).
`--versions` alone is the whole matrix of OpenClaw releases (tests/gateway/test_versions.py),
`--check` alone is what takes seconds, `--format` alone writes what the formatters would want.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# More workers than cores: much of the time goes into waiting for real processes. With four, Gateways starve each other.
# A file's tests share its Gateway.
# schemathesis gives all its tests one name, of which workers would run only one (tests/conftest.py refuses that): they
# go alone.
FUZZ = "tests/integration/test_fuzz.py"
# The order in which workers take tests: tests/support/balance.py.
WORKERS = ["--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder", "--cache-clear"]
PARTS = ([*WORKERS, "--durations=40", f"--ignore={FUZZ}"], [FUZZ])
FAST = ([*WORKERS, "tests/unit"],)
VERSIONS = "tests/gateway/test_versions.py"
# What prettier formats (.prettierrc.json, .prettierignore); `python3 dev.py format` writes, the check only looks.
FORMATTED = ("plugin", "dashboard", "tests/plugin")
SVELTE_CHECK = ["--workspace", "dashboard", "--fail-on-warnings", "--output", "human"]
sys.path.insert(0, str(ROOT))


def node() -> Path:
    """Node from its wheel, as the Gateway tests use it; downloaded on the first run."""
    from openclaw_nats.demo.provision import cache_dir, provision_node

    return provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"


def dashboard_tools() -> None:
    """What checks and tests the dashboard: the packages that its lock names."""
    subprocess.run(
        [sys.executable, "-c", "import build; build.install(build.own_node())"], cwd=ROOT / "dashboard", check=True
    )


def prettier(how: str) -> list[str]:
    """The command that looks at (`--check`) or writes (`--write`) plugin and dashboard, once prettier is there."""
    dashboard_tools()
    script = ROOT / "dashboard" / "node_modules" / "prettier" / "bin" / "prettier.cjs"
    return [str(node()), str(script), "--log-level=warn", how, *FORMATTED]


def quick_checks() -> list[tuple[str, list[str]]]:
    """Name and command of the checks that take seconds."""
    tools = Path(sys.executable).parent
    return [
        ("ruff", [str(tools / "ruff"), "check", "--quiet", "."]),
        ("ruff format", [str(tools / "ruff"), "format", "--check", "--quiet", "."]),
        ("mypy", [str(tools / "mypy"), "--no-error-summary"]),
        ("import-linter", [str(tools / "lint-imports"), "--no-cache"]),
        ("dashboard and plugin format (prettier)", prettier("--check")),
    ]


def formatting() -> int:
    """Write what the formatters want; the exit code."""
    ruff = str(Path(sys.executable).parent / "ruff")
    commands = [[ruff, "check", "--quiet", "--fix", "--select=I", "."], [ruff, "format", "--quiet", "."]]
    return max(subprocess.run(one, cwd=ROOT, check=False).returncode for one in [*commands, prettier("--write")])


def checks() -> list[tuple[str, list[str]]]:
    """Name and command of every check before pytest."""
    python = sys.executable
    dashboard = ROOT / "dashboard" / "node_modules"
    plugin_tests = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "plugin").glob("*.test.js"))
    return [
        *quick_checks(),
        # Before the others: it takes longest, and mostly waits.
        ("plugin (node:test)", [*as_root(), str(node()), "--test", "--test-reporter=dot", *plugin_tests]),
        ("dashboard types", [python, "dashboard/generate-types.py", "--check", str(node())]),
        ("dashboard (svelte-check)", [str(node()), str(dashboard / "svelte-check/bin/svelte-check"), *SVELTE_CHECK]),
        ("dashboard (vitest)", [str(node()), str(dashboard / "vitest/vitest.mjs"), "run", "--root", "dashboard"]),
        (
            "plugin types (tsc)",
            [str(node()), str(dashboard / "typescript/bin/tsc"), "--project", "tests/plugin/tsconfig.json"],
        ),
    ]


def failing(commands: list[tuple[str, list[str]]]) -> list[str]:
    """Run the checks, two at a time, and say how each went; the names of those that failed."""

    def run(one: tuple[str, list[str]]) -> str | None:
        name, command = one
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        told = f"{'✗' if done.returncode else '✓'} {name} ({time.monotonic() - began:.0f} s)"
        if done.returncode != 0:
            told = f"{done.stdout[-8000:]}{done.stderr[-4000:]}\n{told}"
        print(told, flush=True)
        return name if done.returncode else None

    with ThreadPoolExecutor(2) as pool:
        return [name for name in pool.map(run, commands) if name]


def as_root() -> list[str]:
    """What to put before a command so that tests may mount small disks: nothing for root, else a user namespace."""
    prefix = ["unshare", "--map-root-user", "--mount"]
    if os.geteuid() == 0 or shutil.which("unshare") is None:
        return []
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []


def coverage(environment: dict[str, str]) -> int:
    """What the unit tests reach, package by package; the exit code is 1 when one is below its floor.

    Whether tests pass is not asked here: some look at the clock, and measuring takes time.
    """
    from tests.support.coverage_floors import FLOORS, faults, reached

    if importlib.util.find_spec("coverage") is None:  # only who measures needs it
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*pip, "-r", "tests/support/coverage-requirements.txt"], cwd=ROOT, check=True)
    folder = ROOT / ".dev" / "coverage"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tool = [sys.executable, "-m", "coverage"]
    subprocess.run([*tool, "run", "-m", "pytest", "-q", *FAST[0]], cwd=ROOT, env=environment, check=False)
    subprocess.run([*tool, "combine", "--quiet"], cwd=ROOT, check=False)
    subprocess.run([*tool, "json", "--quiet", "-o", str(folder / "report.json")], cwd=ROOT, check=True)
    found = reached(json.loads((folder / "report.json").read_text()))
    for package, percent in found.items():
        print(f"{package:16}{percent:6.1f} %   floor {FLOORS.get(package, 0):g} %")
    wrong = faults(found)
    for text in wrong:
        print(f"✗ {text}", flush=True)
    return 1 if wrong else 0


def main() -> int:
    """Run everything; the exit code is 1 when anything failed."""
    from tests.support.second_try import second_try

    arguments = sys.argv[1:]
    parts = FAST if arguments == ["--fast"] else PARTS
    if arguments == ["--fast"]:
        arguments = []
    if arguments == ["--all"]:
        arguments, parts = [], tuple([*part, "--all"] for part in PARTS)
    if arguments == ["--versions"]:
        arguments = [VERSIONS, "--versions"]
    quick = arguments == ["--check"]
    if arguments == ["--format"]:
        return formatting()
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    if arguments == ["--coverage"]:
        return coverage(environment)
    failed: list[str] = []
    if not quick:
        dashboard_tools()
    if quick or not arguments:
        failed = failing(quick_checks() if quick else checks())
    code = 0
    for part in [] if quick else [arguments] if arguments else parts:
        command = [sys.executable, "-m", "pytest", *part]
        ended = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if ended == 1 and not arguments and second_try(ROOT, environment):
            ended = 0
        code |= ended
    for name in failed:
        print(f"✗ {name} failed (see above)", flush=True)
    return 1 if failed or code else 0


if __name__ == "__main__":
    sys.exit(main())
