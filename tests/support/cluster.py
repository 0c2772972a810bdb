"""Several nats-servers from the configuration files of contrib/fleet, and sidecars on them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from openclaw_nats.installer import nats_server
from openclaw_nats.port_holder import free_port
from tests.support.processes import Process, Sidecar, old_nats, wait_until

FILES = Path(__file__).resolve().parents[2] / "contrib" / "fleet"
USERS = ("kitchen", "garage", "door", "operator", "leaf", "system")


def password(user: str) -> str:
    """The one that users.conf gets from the environment."""
    return f"secret-of-{user}"


class Server(Process):
    """One nats-server from a configuration file, with the variables that the file names."""

    def __init__(self, folder: Path, name: str, config: Path, variables: dict[str, str], version: str = "") -> None:
        self.name, self.folder, self.config = name, folder / name, config
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = old_nats(version) if version else nats_server.find()[0]
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        passwords = {f"{user.upper()}_PASSWORD": password(user) for user in USERS}
        own = {"NATS_NAME": name, "NATS_LISTEN": f"127.0.0.1:{self.port}", "NATS_STORE": str(self.folder / "js")}
        self.environment = dict(os.environ) | passwords | own | variables

    def start(self) -> None:
        """Start it and wait until its port answers."""
        with (self.folder / "nats.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), "-c", str(self.config)],
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

        def answers() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "nats.log").read_text()
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                return link.recv(4) == b"INFO"

        wait_until(answers, what=self.name)


class Cluster:
    """The hub: three servers from hub.conf."""

    def __init__(self, folder: Path, versions: tuple[str, ...] = ("", "", ""), files: Path = FILES) -> None:
        self.folder = folder
        routes, leaves = [free_port() for _ in versions], [free_port() for _ in versions]
        to = ", ".join(f"nats://127.0.0.1:{port}" for port in routes)
        self.leaf_urls = ", ".join(f"nats://leaf:{password('leaf')}@127.0.0.1:{port}" for port in leaves)
        self.servers = [
            Server(
                folder,
                f"hub-{number}",
                files / "hub.conf",
                {"NATS_CLUSTER": f"127.0.0.1:{cluster}", "NATS_LEAVES": f"127.0.0.1:{leaf}", "NATS_ROUTES": f"[{to}]"},
                version,
            )
            for number, (cluster, leaf, version) in enumerate(zip(routes, leaves, versions, strict=True), 1)
        ]
        self.others: list[Process] = []

    @property
    def url(self) -> str:
        """The addresses of all servers."""
        return ",".join(server.url for server in self.servers)

    def start(self) -> None:
        """Start all, and wait until JetStream answers."""
        for server in self.servers:
            server.start()
        wait_until(lambda: "limits" in api(self.url, "INFO"), 30, "JetStream of the cluster")

    def leaf(self, name: str, config: str) -> Server:
        """Start a leaf node of the hub."""
        server = Server(self.folder, name, FILES / config, {"HUB": f"[{self.leaf_urls}]"})
        self.others.append(server)
        server.start()
        return server

    def sidecar(
        self, user: str, url: str = "", domain: str = "", *, name: str = "", start: bool = True, replicas: int = 3
    ) -> Sidecar:
        """A sidecar that signs in as one of the users, with that user's inbox prefix."""
        one = Sidecar(self.folder / f"state-{name or user}", self.servers[0])  # type: ignore[arg-type]
        (one.home / "nats-password").write_text(password(user))
        (one.home / "config.toml").write_text(
            f'[sidecar]\nport = {one.port}\nurl = "{one.url}"\n[gateway]\nid = "{name or user}"\n'
            f'url = "http://127.0.0.1:9"\n[stream]\nreplicas = {replicas}\n'
            f'[nats]\nurl = "{url or self.url}"\nuser = "{user}"\npassword_file = "{one.home / "nats-password"}"\n'
            f'inbox_prefix = "_INBOX_{user}"\ndomain = "{domain}"\n'
        )
        self.others.append(one)
        if start:
            one.start()
        return one

    def leader(self, stream: str) -> Server:
        """The server that leads a stream."""
        name = api(self.url, f"STREAM.INFO.{stream}")["cluster"]["leader"]
        return next(server for server in self.servers if server.name == name)

    def close(self) -> None:
        """End everything."""
        for one in (*reversed(self.others), *self.servers):
            one.close()


def api(url: str, operation: str, request: object = None, prefix: str = "$JS.API") -> dict[str, Any]:
    """Call JetStream's API as the operator; an empty answer when there is none in time."""
    body = b"" if request is None else json.dumps(request).encode()

    async def ask(client: Client) -> dict[str, Any]:
        try:
            return dict(json.loads((await client.request(f"{prefix}.{operation}", body, timeout=5)).data))
        except nats.errors.Error:
            return {}

    return dict(run(url, "operator", ask))


def run(url: str, user: str, work: Callable[[Client], Awaitable[Any]], **options: Any) -> Any:
    """Do something over a connection of a user's, with that user's inbox prefix."""

    async def whole() -> Any:
        options.setdefault("inbox_prefix", f"_INBOX_{user}".encode())
        client = await nats.connect(
            url.split(","), user=user, password=password(user), connect_timeout=3, max_reconnect_attempts=3, **options
        )
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(whole())


def deliveries_to(sidecar: Sidecar, out: str) -> list[Any]:
    """What a route repeated on a subject of its own; nothing while the cluster is electing and answers 503."""
    status, _, body = sidecar.request("GET", f"/api/events?subject=agent.events.custom.{out}")
    if status == 503:
        return []
    assert status == 200, body
    return sorted(json.loads(line)["data"]["n"] for line in body.splitlines())
