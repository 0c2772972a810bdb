"""What a release consists of fits its tag, and the project's workflows run the commands that people run."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
spec = importlib.util.spec_from_file_location("release_packages", ROOT / "release" / "packages.py")
assert spec is not None
assert spec.loader is not None
packages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(packages)
base_image = packages.base_image
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that may be released as v1.2.3."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.3"\n')
    (tmp_path / "plugin").mkdir()
    (tmp_path / "plugin" / "package.json").write_text(json.dumps({"version": "1.2.3"}))
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (2026-12-01)\n\n- Something.\n")
    docker = tmp_path / "src" / "openclaw_nats" / "installer" / "container"
    docker.mkdir(parents=True)
    (docker / "Dockerfile").write_text(f"FROM python:3.13-slim@{DIGEST}\nWORKDIR /app\n")
    return tmp_path


def test_a_container_whose_base_has_no_digest_is_not_released(project: Path) -> None:
    (project / base_image.DOCKERFILE.relative_to(ROOT)).write_text("FROM python:3.13-slim\n")
    assert "base image has no digest" in " ".join(packages.disagreements("v1.2.3", project))


class Registry(BaseHTTPRequestHandler):
    """Answers as Docker Hub does: a token, and the manifest of one image to who has the token."""

    manifest = json.dumps({"manifests": [{"platform": {"architecture": "amd64"}}]}).encode()

    def do_GET(self) -> None:
        """The token, or the manifest."""
        given = self.headers.get("Authorization")
        token = self.path == "/token?scope=repository%3Alibrary/python%3Apull"
        right = self.path == "/v2/library/python/manifests/3.13-slim" and given == "Bearer secret"
        body = b'{"token": "secret"}' if token else self.manifest
        self.send_response(200 if token or right else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_base_image_gets_the_digest_that_its_tag_has(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("# about\nFROM python:3.13-slim\nWORKDIR /app\n")
    monkeypatch.setattr(base_image, "DOCKERFILE", file)
    monkeypatch.setattr(base_image.digest_of, "__defaults__", (registry, f"{registry}/token?scope="))
    monkeypatch.setattr(sys, "argv", ["base_image.py", "--check"])
    assert base_image.main() == 1
    monkeypatch.setattr(sys, "argv", ["base_image.py"])
    assert base_image.main() == 0
    digest = f"sha256:{hashlib.sha256(Registry.manifest).hexdigest()}"
    assert file.read_text() == f"# about\nFROM python:3.13-slim@{digest}\nWORKDIR /app\n"
    monkeypatch.setattr(sys, "argv", ["base_image.py", "--check"])
    assert base_image.main() == 0
    monkeypatch.setattr(base_image.digest_of, "__defaults__", (f"{registry}/nowhere", f"{registry}/token?scope="))
    monkeypatch.setattr(sys, "argv", ["base_image.py"])
    assert base_image.main() == 1
    assert "can't be had" in capsys.readouterr().err
    assert digest in file.read_text()


def test_what_builds_is_pinned() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    locked = (ROOT / "requirements-dev.lock").read_text()
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", one) and f"\n{one} " in locked for one in build), build
    assert base_image.base(base_image.DOCKERFILE.read_text())["tag"]
    assert "--require-hashes -r requirements.lock" in base_image.DOCKERFILE.read_text()


def test_a_tag_that_fits_everything_is_released(project: Path) -> None:
    assert packages.disagreements("v1.2.3", project) == []


@pytest.mark.parametrize(("tag", "words"), [("1.2.3", "begin with v"), ("v1.2.4", "pyproject.toml says 1.2.3")])
def test_a_tag_that_does_not_fit_is_refused(project: Path, tag: str, words: str) -> None:
    assert words in " ".join(packages.disagreements(tag, project))


def test_a_changelog_without_a_dated_heading_is_refused(project: Path) -> None:
    (project / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3 (unreleased)\n")
    assert packages.disagreements("v1.2.3", project) == ["CHANGELOG.md has no heading `## 1.2.3 (date)`"]


def test_what_is_built_and_run_by_others_is_pinned_by_its_content() -> None:
    used = [name for file in WORKFLOWS for name in re.findall(r"uses: (\S+)", file.read_text())]
    assert len(used) > 10
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
    assert base_image.base(base_image.DOCKERFILE.read_text())["digest"]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_our_own_commands_with_the_least_rights(file: Path) -> None:
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    ours = [line for line in runs if line.startswith("python3 dev.py")]
    assert ours
    known = set(re.findall(r"^    python3 dev\.py (\w+)", (ROOT / "dev.py").read_text(), re.MULTILINE))
    assert {line.split()[2] for line in ours} <= known


def test_every_python_that_the_package_names_is_tested() -> None:
    matrix = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["test"]["strategy"][
        "matrix"
    ]
    named = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert matrix["python"] == named


def test_commits_are_checked_by_the_same_command() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["entry"] for hook in hooks] == ["python3 dev.py check"]
    sys.path.insert(0, str(ROOT))
    from tests.run import checks, quick_checks

    assert checks()[: len(quick_checks())] == quick_checks()


def test_the_help_names_every_command() -> None:
    done = subprocess.run([sys.executable, str(ROOT / "dev.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for name in ("demo", "test", "check", "format", "bench", "docs", "packages"):
        assert f"dev.py {name} " in done.stderr
