"""How much room the disks have that we write to: the operator is warned before anything stops."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from openclaw_nats.contract.health import DiskHealth
from openclaw_nats.locations import Locations
from openclaw_nats.settings import Settings

LITTLE = 500 << 20


@dataclass(frozen=True, slots=True)
class Disk:
    """A folder, and the free bytes of its file system; `low` means that events will soon not be stored."""

    of: str
    folder: Path
    free: int
    low: bool

    @property
    def text(self) -> str:
        """What is to be said when it is low."""
        return f"only {self.free / 2**20:.0f} MiB are free below {self.folder}: events will soon not be stored"


def disks(settings: Settings) -> list[Disk]:
    """The disk of the state directory and, where it is another one, that of our own nats-server's store."""
    found = [_disk("state", settings.home if settings.home.exists() else Path.home())]
    store = Locations(settings.home).jetstream
    if settings.nats.managed and store.exists() and store.stat().st_dev != found[0].folder.stat().st_dev:
        found.append(_disk("nats", store))
    return found


def report(settings: Settings) -> list[DiskHealth]:
    """For `/api/health`."""
    return [DiskHealth(str(one.folder), one.free, one.low, one.text if one.low else "") for one in disks(settings)]


class DiskMeters:
    """Metrics that are looked up when they are asked for: `watch` says of which disks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._free = Gauge("openclaw_nats_disk_free_bytes", "Free bytes of the disk", ["of"], registry=registry)
        self._low = Gauge("openclaw_nats_disk_low", "1 when events will soon not be stored", ["of"], registry=registry)

    def watch(self, settings: Settings) -> None:
        """From now on, the disks that these settings write to."""
        for one in disks(settings):
            self._free.labels(one.of).set_function(partial(_free, one.folder))
            self._low.labels(one.of).set_function(partial(_is_low, one.folder))


def _disk(of: str, folder: Path) -> Disk:
    free = _free(folder)
    return Disk(of, folder, free, free < LITTLE)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _is_low(folder: Path) -> bool:
    return _free(folder) < LITTLE
