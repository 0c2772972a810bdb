"""`openclaw-nats up`: nats-server and sidecar as children, restarted with backoff, stopped in order.

Order of start: nats-server, then the sidecar (which waits for it by itself). Order of stop: the sidecar first, so that
requests under way still get JetStream's answer.

Whoever runs `up` (a terminal, an init of one's own, a service), this process stays: asked by SIGUSR2 it reads the
settings again and restarts the sidecar alone, or ends both children and has `up` begin again in the same process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from openclaw_nats import port_holder
from openclaw_nats.errors import OpenClawNatsError
from openclaw_nats.file_signature import signature
from openclaw_nats.keys.known import KnownKeys
from openclaw_nats.locations import Locations
from openclaw_nats.service import nats_config
from openclaw_nats.service.files import write_no_core_files, write_private
from openclaw_nats.service.supervisor_lock import alone
from openclaw_nats.settings import Settings, changed, load

_BACKOFF = (0.1, 0.5, 1.0, 2.0, 5.0)
_HEALTHY_SECONDS = 30.0
_STOP_SECONDS = 8.0
_NATS_RESTART_SECONDS = 10.0
_KEYS_SECONDS = 0.5
_MIN_FREE_BYTES = 32 << 20
_PR_SET_PDEATHSIG = 1
# What nats-server may know of our environment: where it is, not the secrets and addresses of others.
_PLAIN = {
    *("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "TMPDIR", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "OPENCLAW_STATE_DIR", "OPENCLAW_NATS_SUPERVISED"),
}


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: asyncio.subprocess.Process | None = None
    attempt: int = 0
    restarts: int = 0
    error_lines: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)  # a restart, at once


class Supervisor:
    """Runs the children until asked to stop. `say` gets a line for the operator on every change."""

    def __init__(self, settings: Settings, nats_server: Path | None, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._where = Locations(settings.home)
        self._say = say
        self._stopping = asyncio.Event()
        self._nats_restarted = 0.0
        self._again = False
        environment = dict(os.environ) | {"OPENCLAW_NATS_SUPERVISED": "1"}
        self._nats = (
            Child("nats-server", [str(nats_server), "-c", str(self._where.nats_config)], _plain(environment))
            if nats_server
            else None
        )
        self._sidecar = Child("sidecar", [sys.executable, "-m", "openclaw_nats.service.sidecar"], environment)

    async def run(self) -> bool:
        """Run until SIGTERM or SIGINT, or until all of it is to begin again (True).

        Raises SetupError when another supervisor has this state directory.
        """
        write_no_core_files()
        with alone(self._where):
            self._where.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._stopping.set)
            loop.add_signal_handler(signal.SIGUSR1, self._restart_nats)
            loop.add_signal_handler(signal.SIGUSR2, self._read_settings)
            self._where.restart.unlink(missing_ok=True)
            if self._nats is not None:
                self._where.jetstream.mkdir(exist_ok=True, mode=0o700)
                nats_config.make_nkey(self._where)  # also for what was installed before there was one
                self._settings = self._without_taken_port(self._settings)
                write_private(self._where.nats_config, nats_config.render(self._settings))
            children = [child for child in (self._nats, self._sidecar) if child is not None]
            keepers = [asyncio.create_task(self._keep(child), name=child.name) for child in children]
            users = asyncio.create_task(self._keep_users(), name="nats-users")
            await self._stopping.wait()
            users.cancel()
            self._say("restarting" if self._again else "stopping")
            for child, keeper in reversed(list(zip(children, keepers, strict=True))):
                await _stop(child)
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            self._where.state.unlink(missing_ok=True)
        return self._again

    def _without_taken_port(self, settings: Settings) -> Settings:
        """nats-server would not start when somebody else has the port for MQTT: events are worth more."""
        port = settings.mqtt.port
        if not port or port_holder.is_free(port):
            return settings
        self._say(
            f"MQTT is off: its port {port} is held by {port_holder.holder(port)}; `openclaw-nats restart` tries again"
        )
        return changed(settings, {"mqtt.port": 0})

    async def _keep(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            started = loop.time()
            code = await self._run_once(child)
            if self._stopping.is_set():
                return
            if child.asked.is_set():
                child.asked.clear()
                child.attempt = 0
                continue
            child.attempt = 0 if loop.time() - started > _HEALTHY_SECONDS else child.attempt + 1
            child.restarts += 1
            wait = _BACKOFF[min(child.attempt, len(_BACKOFF) - 1)]
            printed = [line for line in child.error_lines if line.startswith("Error:")] or child.error_lines
            reason = f": {printed[-1].removeprefix('Error: ')}" if printed and code > 0 else ""
            self._say(f"{child.name} ended ({_describe(code)}){reason}; starting it again in {wait:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.asked.wait(), wait)
            child.asked.clear()

    async def _run_once(self, child: Child) -> int:
        try:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                env=child.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                preexec_fn=_die_with_parent,
                start_new_session=True,
            )
        except OSError as error:
            child.error_lines = [f"{child.command[0]}: {error.strerror}"]
            return 127
        self._write_state()
        child.error_lines.clear()
        assert child.process.stderr is not None  # noqa: S101  (it was asked for)
        async for line in child.process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            if text and not text.startswith("{"):  # JSON lines are in the child's own log file
                child.error_lines = [*child.error_lines[-4:], text]
        return await child.process.wait()

    def _read_settings(self) -> None:
        """Somebody changed the settings (SIGUSR2), or wants everything restarted (the file `run/restart` is there)."""
        everything = self._where.restart.exists()
        self._where.restart.unlink(missing_ok=True)
        try:
            settings = load(self._where.home)
            everything = everything or self._concerns_nats(settings)
        except (OpenClawNatsError, OSError) as error:
            self._say(f"the settings can't be read, so that nothing was restarted: {error}")
            return
        if everything:
            self._again = True
            self._stopping.set()
            return
        self._settings = settings
        self._say("the settings changed: restarting the sidecar")
        self._sidecar.asked.set()
        if (process := self._sidecar.process) is not None and process.returncode is None:
            process.terminate()
            asyncio.get_running_loop().call_later(_STOP_SECONDS, _kill, process)

    def _concerns_nats(self, settings: Settings) -> bool:
        if self._nats is None or not settings.nats.managed:
            return (self._nats is not None) != settings.nats.managed
        return nats_config.render(settings) != self._where.nats_config.read_text()

    async def _keep_users(self) -> None:
        """nats-server has the limited keys that count now: somebody makes and revokes some, and they expire."""
        if self._nats is None:
            return
        known = KnownKeys(self._where.home, tell=self._say)
        end, said = known.next_end(), ""
        certificate = self._certificate()
        while True:
            await asyncio.sleep(_KEYS_SECONDS)
            if certificate != (certificate := self._certificate()) and all(certificate):
                self._say("another certificate: restarting nats-server, which speaks MQTT with it")
                self._end_nats()
            if not (known.look() or time.time() >= end or said):
                continue
            try:
                self._reload_nats()
                end, said = known.next_end(), ""
            except (OpenClawNatsError, OSError) as error:
                if said != (said := f"the limited keys could not be given to nats-server: {error}"):
                    self._say(f"{said}; trying again")

    def _certificate(self) -> list[tuple[int, ...]]:
        """By what the files are known again that MQTT speaks TLS with; nats-server reads them at its start."""
        settings = self._settings
        if not settings.mqtt.port or not settings.sidecar_speaks_tls:
            return []
        return [signature(Path(one)) for one in (settings.sidecar.tls_certificate, settings.sidecar.tls_key)]

    def _end_nats(self) -> None:
        """It is started again by its keeper."""
        process = self._nats.process if self._nats else None
        if self._nats is not None and process is not None and process.returncode is None:
            self._nats.asked.set()
            process.terminate()

    def _reload_nats(self) -> None:
        """Write nats-server's configuration and have it read it: whoever is no user any more is disconnected."""
        text = nats_config.render(self._settings)
        if text == self._where.nats_config.read_text():
            return
        write_private(self._where.nats_config, text)
        process = self._nats.process if self._nats else None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGHUP)

    def _restart_nats(self) -> None:
        """The sidecar asks for it (SIGUSR1): JetStream switched itself off, as it does when the disk was full."""
        now = time.monotonic()
        process = self._nats.process if self._nats else None
        if process is None or process.returncode is not None or now - self._nats_restarted < _NATS_RESTART_SECONDS:
            return
        if shutil.disk_usage(self._where.jetstream).free < _MIN_FREE_BYTES:
            self._say("JetStream is off and the disk is full: free some space, it restarts by itself then")
            return
        self._nats_restarted = now
        self._say("JetStream is off: restarting nats-server")
        process.terminate()

    def _write_state(self) -> None:
        children = {
            child.name: {"pid": child.process.pid, "restarts": child.restarts}
            for child in (self._nats, self._sidecar)
            if child is not None and child.process is not None
        }
        state = {"pid": os.getpid(), "restarts_itself": True, "children": children}
        write_private(self._where.state, json.dumps(state) + "\n")


async def _stop(child: Child) -> None:
    process = child.process
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """It did not end in time; one that has ended is left alone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name in _PLAIN}


def _die_with_parent() -> None:
    """On Linux a child gets SIGTERM when the supervisor is killed, so that no orphan keeps its port."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _describe(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
