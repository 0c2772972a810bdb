"""Who listens on a TCP port of this machine: from /proc on Linux, else from `lsof` where there is one."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"  # the state in /proc/net/tcp
_SHOWN = 120  # characters of a command line
_LSOF_SECONDS = 10
_PROC = Path("/proc")


@dataclass(frozen=True)
class Holder:
    """A process that listens; `pid` is 0 where the system does not tell us whose socket it is."""

    pid: int = 0
    name: str = ""
    command: tuple[str, ...] = ()
    user: str = ""

    def __str__(self) -> str:
        if not self.pid:
            return f"a process of the user {self.user}" if self.user else "another process"
        return f"process {self.pid} ({self.shown})"

    @property
    def shown(self) -> str:
        """What it is, short: a command line may hold secrets, so that only program and script are shown."""
        words = [Path(word).name if at == 0 else word for at, word in enumerate(self.command[:3])]
        text = " ".join([words[0], *[word for word in words[1:2] if not word.startswith("-")]]) if words else self.name
        return (text or self.name)[:_SHOWN]


def is_free(port: int) -> bool:
    """Whether we could listen on `127.0.0.1:port`; raise PermissionError for a port that only root may have."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what waits for its time out holds no port
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except PermissionError:
            raise
        except OSError:
            return False
    return True


def free_port() -> int:
    """A TCP port that is free on loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def holder(port: int, proc: Path = _PROC) -> Holder:
    """Who listens on `port`; an empty Holder when that can't be found out."""
    if sys.platform == "linux":
        return _from_proc(port, proc)
    return _from_lsof(port)


def _from_proc(port: int, proc: Path) -> Holder:
    inodes = {inode: uid for name in ("tcp", "tcp6") for inode, uid in _listening(proc / "net" / name, port)}
    if not inodes:
        return Holder()
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        if any(target.removeprefix("socket:").strip("[]") in inodes for target in _open_files(folder / "fd")):
            return Holder(int(folder.name), _read(folder / "comm").strip(), _words(folder / "cmdline"))
    return Holder(user=_user(next(iter(inodes.values()))))


def _open_files(folder: Path) -> list[str]:
    """What a process has open; empty for one that ended or is another user's. It may close some while we look."""
    found = []
    with contextlib.suppress(OSError):
        for one in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found.append(os.readlink(one))
    return found


def _listening(table: Path, port: int) -> list[tuple[str, int]]:
    """Inode and user of every socket of a table of /proc/net that listens on `port` for loopback."""
    found = []
    for line in _read(table).splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
            found.append((fields[9], int(fields[7])))
    return found


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _words(path: Path) -> tuple[str, ...]:
    return tuple(word for word in _read(path).split("\0") if word)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _from_lsof(port: int) -> Holder:
    if shutil.which("lsof") is None:
        return Holder()
    try:
        done = subprocess.run(
            ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"],
            capture_output=True, text=True, timeout=_LSOF_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return Holder()
    lines = {line[:1]: line[1:] for line in reversed(done.stdout.splitlines()) if line}
    return Holder(int(lines.get("p", "0") or 0), lines.get("c", ""))
