"""The wheel holds everything: plugin, demo, typed code; it installs into an empty environment without Node."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_wheel_holds_the_plugin_and_works_without_the_checkout(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {path.relative_to(ROOT).as_posix() for path in (ROOT / "plugin").rglob("*") if path.is_file()}
    held = {name.removeprefix("openclaw_nats/") for name in names if name.startswith("openclaw_nats/plugin/")}
    assert held == shipped
    assert "openclaw_nats/demo/node-requirements.txt" in names
    assert not [name for name in names if "test" in name]
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    script = "from openclaw_nats.plugin_files import plugin_dir; print(plugin_dir())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {script}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str(site / "openclaw_nats" / "plugin")


def test_versions_agree() -> None:
    import json
    import tomllib

    from openclaw_nats import __version__

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__
    for file in ("package.json", "openclaw.plugin.json"):
        assert json.loads((ROOT / "plugin" / file).read_text())["version"] == __version__
    assert f'VERSION = "{__version__}"' in (ROOT / "plugin" / "bus.js").read_text()


def test_nothing_in_the_tree_names_a_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = ["registry." + "npmjs", "pypi." + "org", "files.python" + "hosted", "/ro" + "ot/", "/wo" + "rk/"]
    for name in files:
        text = (ROOT / name).read_text(errors="replace")
        assert not [word for word in words if word in text], name
