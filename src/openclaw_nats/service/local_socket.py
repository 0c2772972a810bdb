"""The sidecar's Unix socket in the state directory: for plugin and commands, which no other user reaches.

Without it they come by its address. Who comes proves that it knows the key, as there (peer_proof.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

LONGEST = 100  # bytes of a path: 104 with its end on macOS, 108 on Linux


class LocalSocket:
    """Listens at a path; one that is there from before is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = 0

    async def serve(self, protocol: Callable[[], asyncio.Protocol], backlog: int) -> asyncio.Server | None:
        """Begin to listen; None where that can't be."""
        try:
            listener = self._bind()
        except (OSError, ValueError) as error:
            log.warning("sidecar.no_local_socket", path=str(self._path), error=str(error))
            return None
        return await asyncio.get_running_loop().create_unix_server(protocol, sock=listener, backlog=backlog)

    def _bind(self) -> socket.socket:
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
        if found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise OSError(f"others may write into {folder}")
        temporary = folder / f".{os.getpid() % 10_000}"
        if len(os.fsencode(self._path)) > LONGEST:  # the temporary name is shorter
            raise OSError(f"the path is longer than {LONGEST} bytes")
        temporary.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(temporary))
            temporary.replace(self._path)  # at no moment is there none
            self._inode = self._path.stat().st_ino
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(before)
        return listener

    def remove(self) -> None:
        """Nobody listens any more; one that another sidecar has put there stays."""
        with contextlib.suppress(OSError):
            if self._inode and self._path.stat().st_ino == self._inode:
                self._path.unlink()
