"""The wheel holds everything: plugin, demo, typed code; it installs into an empty environment without Node."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from tests.support.archives import unpack

ROOT = Path(__file__).resolve().parent.parent.parent


def build(target: str, source: Path, folder: Path, path: str | None = None) -> Path:
    """Build a wheel or sdist, with the programs of `path` only; the file."""
    environment = dict(os.environ) | ({} if path is None else {"PATH": path})
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl" if target == "wheel" else "*.tar.gz"))


def files_below(*folders: str) -> set[str]:
    """The files in folders of the checkout, by their path."""
    return {
        path.relative_to(ROOT).as_posix() for name in folders for path in (ROOT / name).rglob("*") if path.is_file()
    }


def test_the_wheel_holds_plugin_and_dashboard_and_works_without_the_checkout(tmp_path: Path) -> None:
    wheel = build("wheel", ROOT, tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    held = {name.removeprefix("openclaw_nats/") for name in names if name.startswith("openclaw_nats/plugin/")}
    assert held == files_below("plugin")
    page = {name for name in names if name.startswith("openclaw_nats/dashboard_page/")}
    assert {name.replace("openclaw_nats/dashboard_page", "dashboard/dist") for name in page} == files_below(
        "dashboard/dist"
    )
    assert "openclaw_nats/dashboard_page/index.html" in page
    assert "openclaw_nats/dashboard_page/docs/dashboard.md" in page
    for name in ("demo/node-requirements.txt", "installer/container/Dockerfile", "requirements.lock", "py.typed"):
        assert f"openclaw_nats/{name}" in names
    assert not [
        name for name in names if "test" in name.rpartition("/")[2] and name.endswith((".py", ".ts", ".svelte"))
    ]
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)  # noqa: S202  (our own wheel)
    script = "from openclaw_nats.plugin_files import dashboard_dir, plugin_dir; print(plugin_dir(), dashboard_dir())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {script}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(site / "openclaw_nats" / name) for name in ("plugin", "dashboard_page")]


def test_a_wheel_made_from_the_sdist_needs_no_node(tmp_path: Path) -> None:
    sdist = build("sdist", ROOT, tmp_path)
    with tarfile.open(sdist) as archive:
        unpack(archive, tmp_path / "unpacked")
    source = next((tmp_path / "unpacked").iterdir())
    wheel = build("wheel", source, tmp_path, path="/nowhere")
    assert "openclaw_nats/dashboard_page/index.html" in zipfile.ZipFile(wheel).namelist()


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
