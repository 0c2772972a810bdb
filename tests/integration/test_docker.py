"""`--runtime docker` without an engine: the Compose file, the Dockerfile, and the image's steps in a clean place."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from openclaw_nats.installer.compose_file import STATE, compose, text_of
from openclaw_nats.installer.config_file import set_values
from openclaw_nats.installer.docker import DockerCompose
from openclaw_nats.locations import Locations
from openclaw_nats.port_holder import free_port
from openclaw_nats.settings import load
from tests.support.processes import API_KEY, Sidecar, event, wait_until

HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture
def where(tmp_path: Path) -> Locations:
    """A state directory as setup leaves it before the service."""
    home = tmp_path / "state" / "nats"
    home.mkdir(parents=True)
    (home / "api-key").write_text(API_KEY)
    (home / "nats-password").write_text("a password")
    values = {
        "sidecar.port": str(free_port()),
        "nats.url": f"nats://127.0.0.1:{free_port()}",
        "nats.user": "openclaw-nats",
        "nats.password_file": str(home / "nats-password"),
    }
    set_values(home / "config.toml", values)
    return Locations(home)


def test_compose_itself_finds_nothing_wrong(where: Locations) -> None:
    tool = shutil.which("docker-compose")
    assert tool, "docker-compose is needed: `python3 dev.py test` says how to get it"
    one = DockerCompose(where)
    assert one.install() is True
    assert one.install() is False
    done = subprocess.run([tool, "-f", str(one.file), "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:" in done.stdout


def test_compose_reads_odd_paths_as_they_are_meant(tmp_path: Path) -> None:
    home = tmp_path / "jörg $HOME 🦀 a:b" / "nats"
    set_values(home / "config.toml", {"gateway.id": "Küche ${X}"})
    folder = home / "docker"
    folder.mkdir()
    (folder / "compose.yml").write_text(text_of(compose(load(home, {}), folder)), encoding="utf-8")
    tool = shutil.which("docker-compose")
    assert tool, "docker-compose is needed: `apt-get install docker-compose` (as .ci/run does)"
    command = [tool, "--file", str(folder / "compose.yml"), "config", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unknown flag" in done.stderr or "Usage" in done.stderr:  # Compose 1 prints YAML only
        done = subprocess.run(command[:-2], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sidecar = yaml.safe_load(done.stdout)["services"]["sidecar"]
    assert sidecar["environment"]["OPENCLAW_NATS_GATEWAY_ID"].replace("$$", "$") == "Küche ${X}"
    sources = [one["source"].replace("$$", "$") for one in sidecar["volumes"]]
    assert sources == [str(home)]


def test_hadolint_finds_nothing_wrong_with_the_dockerfile(where: Locations) -> None:
    one = DockerCompose(where)
    one.install()
    done = subprocess.run([str(HADOLINT), str(one.folder / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_containers_are_closed(where: Locations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(os, "getgid", lambda: 1234)
    settings = load(where.home)
    services: dict[str, Any] = compose(settings, where.home / "docker")["services"]
    assert services["sidecar"]["environment"]["OPENCLAW_NATS_GATEWAY_PUBLIC_URL"] == settings.gateway.url
    for service in services.values():
        assert service["user"] == "1234:1234"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["healthcheck"]["test"][0] == "CMD"
    assert "a password" not in json.dumps(services)
    assert API_KEY not in json.dumps(services)
    one = DockerCompose(where)
    one.install()
    for name in ("compose.yml", "nats-server.conf"):
        assert (one.folder / name).stat().st_mode & 0o077 == 0


def test_mqtt_is_published_where_it_is_to_be_and_speaks_tls_with_the_sidecars_certificate(where: Locations) -> None:
    values = {"mqtt.port": "1893", "mqtt.home_assistant": "true"}
    set_values(where.home / "config.toml", values)
    one = DockerCompose(where)
    one.install()
    services: dict[str, Any] = compose(load(where.home), one.folder)["services"]
    assert "127.0.0.1:1893:1883" in services["nats"]["ports"]
    environment = services["sidecar"]["environment"]
    assert (environment["OPENCLAW_NATS_MQTT_HOST"], environment["OPENCLAW_NATS_MQTT_PORT"]) == ("nats", "1883")
    assert 'mqtt: { listen: "0.0.0.0:1883", ' in (one.folder / "nats-server.conf").read_text()
    files = {"sidecar.tls_certificate": "/etc/tls/bus.pem", "sidecar.tls_key": "/etc/tls/bus.key"}
    set_values(where.home / "config.toml", {**files, "mqtt.host": "192.0.2.7"})
    one.install()
    services = compose(load(where.home), one.folder)["services"]
    assert "192.0.2.7:1893:1883" in services["nats"]["ports"]
    inside = [volume.split(":")[1] for volume in services["nats"]["volumes"]]
    configuration = (one.folder / "nats-server.conf").read_text()
    for path in ("/credentials/mqtt.crt", "/credentials/mqtt.key"):
        assert path in inside
        assert f'"{path}"' in configuration


def test_a_nats_of_somebody_elses_has_no_container_and_its_credentials_are_shown_to_the_sidecar(
    where: Locations, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "certificates" / "ca.pem"
    set_values(
        where.home / "config.toml",
        {
            "nats.managed": "false",
            "nats.url": "tls://me@127.0.0.1:4333,tls://nats.example:4222",
            "nats.credentials_file": str(where.home / "bus.creds"),
            "nats.tls_ca_file": str(elsewhere),
        },
    )
    services = compose(load(where.home), where.home / "docker")["services"]
    assert list(services) == ["sidecar"]
    sidecar = services["sidecar"]
    assert "depends_on" not in sidecar
    assert (
        sidecar["environment"]["OPENCLAW_NATS_NATS_URL"] == "tls://me@host.docker.internal:4333,tls://nats.example:4222"
    )
    assert sidecar["environment"]["OPENCLAW_NATS_NATS_CREDENTIALS_FILE"] == f"{STATE}/bus.creds"
    assert sidecar["environment"]["OPENCLAW_NATS_NATS_TLS_CA_FILE"] == "/credentials/ca.pem"
    assert sidecar["volumes"] == [f"{where.home}:{STATE}", f"{elsewhere}:/credentials/ca.pem:ro"]
    one = DockerCompose(where)
    one.install()
    assert not (one.folder / "nats-server.conf").exists()


def test_the_images_steps_give_a_nats_and_a_sidecar_that_work(where: Locations, tmp_path: Path) -> None:
    """What the Dockerfile says, done in a clean virtual environment; then the two commands of the Compose file."""
    one = DockerCompose(where)
    one.install()
    app = tmp_path / "app"
    app.mkdir()
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    text = (one.folder / "Dockerfile").read_text()
    steps = re.findall(r"^(COPY|RUN) (.+)$", text, re.MULTILINE)
    assert [kind for kind, _ in steps] == ["COPY", "RUN", "COPY"]
    for kind, rest in steps:
        words = shlex.split(rest)
        if kind == "COPY":
            source, target = one.folder / words[0], app / Path(words[1]).relative_to("/app")
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        else:
            assert words[:3] == ["python", "-m", "pip"]
            pip = [sys.executable, "-m", "pip", "--python", str(python), *words[3:]]
            subprocess.run(pip, cwd=app, check=True, capture_output=True)
    services = compose(load(where.home), one.folder)["services"]
    nats_port = free_port()
    config = (one.folder / "nats-server.conf").read_text()
    config = config.replace("0.0.0.0:4222", f"127.0.0.1:{nats_port}").replace(STATE, str(where.home))
    (tmp_path / "nats.conf").write_text(config)
    given = {name: value.replace(STATE, str(where.home)) for name, value in services["sidecar"]["environment"].items()}
    given |= {
        "OPENCLAW_STATE_DIR": str(where.home.parent),
        "OPENCLAW_NATS_NATS_URL": f"nats://127.0.0.1:{nats_port}",
        "OPENCLAW_NATS_SIDECAR_PORT": str(load(where.home).sidecar.port),
        "OPENCLAW_NATS_SIDECAR_HOST": "127.0.0.1",
        "PYTHONPATH": str(app),
        "PATH": "/usr/bin:/bin",
    }
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", text, re.MULTILINE)
    assert json.loads(entry) == ["python", "-m"]
    commands = [
        [services["nats"]["command"][0], "-c", str(tmp_path / "nats.conf")],
        services["sidecar"]["command"],
    ]
    running = [
        subprocess.Popen([str(python), "-m", *command], env=given, cwd=tmp_path, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        bus = Sidecar.__new__(Sidecar)
        bus.port = load(where.home).sidecar.port
        wait_until(lambda: bus.get("/api/health")[0] == 200, 30, "the sidecar")
        assert bus.post_events([event("in-a-container")])[1]["accepted"] == 1
        route = {"name": "a", "pattern": "agent.events.>", "target": "main", "template": "made of {{ subject }}"}
        _, report = bus.call("POST", "/api/routes/draft/test", {"event": event(1), "route": route})
        assert "made of agent.events.custom.test" in json.dumps(report), report
        assert list(where.jetstream.rglob("*.blk")), "the stream is not where the other runtimes look for it"
    finally:
        for process in running:
            process.terminate()
            process.wait(20)


def test_what_compose_is_asked_to_do(where: Locations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    script = tools / "docker"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$2" = version ] || echo sidecar\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    one = DockerCompose(where)
    one.install()
    one.start()
    assert one.running()
    one.stop()
    one.remove()
    one.purge()
    asked = [line for line in (tmp_path / "asked").read_text().splitlines() if "version" not in line]
    project = re.compile(
        rf"^compose --file {re.escape(str(one.file))} --project-name openclaw-nats-[0-9a-f]{{8}} (.*)$"
    )
    verbs = [match[1] for line in asked if (match := project.match(line))]
    assert verbs == [
        "up --detach --build --remove-orphans",
        "ps --services --filter status=running",
        "stop",
        "down",
        "down --rmi all",
    ]
