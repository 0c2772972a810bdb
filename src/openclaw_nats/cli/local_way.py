"""The way of commands to the sidecar by its Unix socket (service/local_socket.py)."""

from __future__ import annotations

import http.client
import os
import socket
import stat

from openclaw_nats.locations import Locations
from openclaw_nats.settings import Settings


class LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the path."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.close()
            raise


def local_connection(settings: Settings, timeout: float) -> LocalConnection | None:
    """A connection to the sidecar of this state directory; None when another one is meant, or none answers there."""
    path = Locations(settings.home).socket
    if not settings.sidecar_is_here:
        return None
    try:
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
            return None
        connection = LocalConnection(str(path), timeout)
        connection.connect()
    except OSError:
        return None
    return connection
