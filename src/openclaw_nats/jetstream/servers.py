"""Which nats-servers can lead our streams, and their versions.

Any server of the cluster may become a stream's leader, also one that is older than the one we are connected to: what it
can't do, then nobody can. A user of an ordinary account can't ask the cluster for its members, but every server gives
its name, version and cluster to whoever connects, before any sign-in (INFO, the first line of the NATS protocol), and a
stream gives the version of the server that leads it (nats-server 2.11: `_nats.ver` in its metadata).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openclaw_nats.jetstream.connection import Connection

LOOK_SECONDS = 60.0
_TIMEOUT = 2.0
_MOST = 16  # servers that are asked: larger clusters do not share one stream
_INFO_BYTES = 1 << 16
_PORT = 4222


@dataclass(frozen=True)
class Server:
    """One server that may lead. `name` is for operators."""

    name: str
    version: str

    @property
    def number(self) -> tuple[int, int, int]:
        """(major, minor, patch); (0, 0, 0) when the version is not known."""
        return version_tuple(self.version)


def version_tuple(version: str) -> tuple[int, int, int]:
    """(major, minor, patch) of a server's version text; (0, 0, 0) when it has none."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


class Servers:
    """Looks at the servers again when the connection is new, and every LOOK_SECONDS."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._peers: dict[str, Server] = {}
        self._leaders: dict[str, Server] = {}
        self._looked = (-1, 0.0)

    async def look(self) -> None:
        """Ask every server whose address is known; never raises. One that does not answer is known from before."""
        epoch, now = self._connection.epoch, time.monotonic()
        if self._looked[0] == epoch and now - self._looked[1] < LOOK_SECONDS:
            return
        self._looked = (epoch, now)
        info = self._connection.server_info
        addresses = _addresses([*self._connection.addresses, *(info.get("connect_urls") or [])])
        if len(addresses) > 1:
            answers = await asyncio.gather(*(_info(host, port) for host, port in addresses[:_MOST]))
        else:
            answers = []
        peers = {}
        for one in answers:
            if one.get("jetstream") and one.get("cluster") == info.get("cluster") and one.get("server_id"):
                peers[_text(one["server_id"])] = Server(_text(one.get("server_name")), _text(one.get("version")))
        for gone in self._peers.keys() - peers.keys():
            name = self._peers[gone].name
            if name not in {server.name for server in peers.values()} and len(peers) < len(addresses):
                peers[gone] = self._peers[gone]  # it does not answer now, and may lead again in a moment
        self._peers = peers

    def leads(self, stream: str, config: dict[str, Any]) -> None:
        """What a stream's configuration says about the server that leads it."""
        version = (config.get("metadata") or {}).get("_nats.ver", "")
        if version:
            self._leaders[stream] = Server(f"the leader of {stream}", _text(version))

    @property
    def oldest(self) -> Server:
        """The one with the lowest version among those that may lead; without a name the one that we are connected to.

        Behind a leaf node (`nats.domain`) the one that we are connected to leads nothing.
        """
        own = Server("", self._connection.server_version)
        known = [server for server in (*self._peers.values(), *self._leaders.values()) if server.number != (0, 0, 0)]
        if self._connection.has_domain and self._leaders:
            known = [server for server in self._leaders.values() if server.number != (0, 0, 0)]
        elif own.number != (0, 0, 0):
            known.insert(0, own)
        return min(known, key=lambda server: server.number, default=own)

    @property
    def versions(self) -> dict[str, list[str]]:
        """The versions in the cluster, each with the names of its servers."""
        found: dict[str, list[str]] = {}
        for server in sorted(self._peers.values(), key=lambda one: one.name):
            found.setdefault(server.version, []).append(server.name)
        return found


def _addresses(urls: list[str]) -> list[tuple[str, int]]:
    found: dict[tuple[str, int], None] = {}
    for url in urls:
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            if parts.scheme in ("nats", "tls") and parts.hostname:
                found[parts.hostname, parts.port or _PORT] = None
        except ValueError:
            continue
    return list(found)


async def _info(host: str, port: int) -> dict[str, Any]:
    """What a server says at once to whoever connects; empty when it does not, or only after a TLS handshake."""
    try:
        async with asyncio.timeout(_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port, limit=_INFO_BYTES)
            try:
                line = await reader.readline()
            finally:
                writer.close()
        found = json.loads(line.partition(b"INFO ")[2] or b"{}")
    except (OSError, TimeoutError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    """A short plain word of what a server says about itself."""
    return re.sub(r"[^\w.+-]", "?", str(value or ""))[:64]
