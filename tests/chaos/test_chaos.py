"""kill -9 of everything while a real Gateway's plugin produces events: each is in the stream once, or told as lost.

The Gateway is stood in for by a Node process that runs the plugin's own bus (bus.js): the same spool, uploader and
service, with a ledger of what the handlers took, which a Gateway can't give. test_gateway.py kills a real one.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from openclaw_nats.demo.provision import cache_dir, provision_node
from tests.support.processes import NatsServer, Process, Sidecar, kill_and_restart, wait_until

pytestmark = pytest.mark.timeout(300)

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
PRODUCER = Path(__file__).with_name("producer.mjs")
OVERFLOW = "agent.events.spool.overflow"


class Producer(Process):
    """A Node process with the plugin's bus that produces events and keeps a ledger of what was taken."""

    def __init__(self, home: Path, ledger: Path, rate: int = 300) -> None:
        self.home = home
        self.ledger = ledger
        self.rate = rate

    def start(self, home: Path | None = None) -> None:
        """Start it; each start goes on in the same ledger."""
        node = provision_node(cache_dir(), lambda what, seconds: None) / "bin" / "node"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENCLAW_", "NATS_"))}
        self.process = subprocess.Popen(
            [str(node), str(PRODUCER), str(home or self.home), str(self.ledger), str(self.rate)],
            env=environment,
            stdin=subprocess.DEVNULL,
        )

    def taken(self) -> list[str]:
        """Ids that a handler had put into the spool when it returned."""
        lines = self.ledger.read_text().split("\n")[:-1] if self.ledger.exists() else []
        return [line for line in lines if line]


@pytest.fixture
def producer(tmp_path: Path, sidecar: Sidecar) -> Iterator[Producer]:
    (sidecar.home / "plugin.json").write_text(json.dumps({"sidecarUrl": sidecar.url, "gatewayId": "chaos"}))
    one = Producer(sidecar.home, tmp_path / "ledger")
    yield one
    one.close()


def stored(sidecar: Sidecar) -> tuple[Counter[str], int]:
    """How often each id is in the stream, and how many events were told as lost."""
    events = sidecar.events()
    lost = sum(event["data"]["dropped"] for event in events if event["subject"] == OVERFLOW)
    return Counter(event["id"] for event in events if event["subject"] != OVERFLOW), lost


def assert_all_there_once(sidecar: Sidecar, producer: Producer, seconds: float = 60) -> None:
    """Let a new process send what is left; then every taken event is in the stream, once, or told as lost."""
    if producer.process is not None and producer.process.poll() is None:
        producer.signal(signal.SIGTERM)
    producer.rate = 0
    producer.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        counts, lost = stored(sidecar)
        missing = [one for one in producer.taken() if one not in counts]
        if len(missing) <= lost:
            break
        time.sleep(0.5)
    assert len(missing) <= lost, f"seed {SEED}: {len(missing)} of {len(producer.taken())} missing, {lost} told as lost"
    twice = [one for one, count in counts.items() if count > 1]
    assert not twice, f"seed {SEED}: {len(twice)} events twice"
    assert len(producer.taken()) > 100


def test_kill_9_of_sidecar_nats_and_producer_at_random_moments(
    nats: NatsServer, sidecar: Sidecar, producer: Producer
) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED} (CHAOS_SEED={SEED} repeats it)")
    victims = [sidecar, nats, producer] * 4
    dice.shuffle(victims)
    producer.start()
    kill_and_restart(victims, dice, (0.1, 1.2))
    time.sleep(1)
    sidecar.wait_up()
    assert_all_there_once(sidecar, producer)


def test_a_hanging_sidecar_costs_nothing(sidecar: Sidecar, producer: Producer) -> None:
    producer.start()
    time.sleep(1)
    sidecar.signal(signal.SIGSTOP)
    before = len(producer.taken())
    time.sleep(3)
    assert len(producer.taken()) > before + 300  # the handlers go on
    sidecar.signal(signal.SIGCONT)
    time.sleep(0.5)
    assert_all_there_once(sidecar, producer)


def test_a_sidecar_that_is_down_for_the_whole_run(sidecar: Sidecar, producer: Producer) -> None:
    sidecar.kill()
    producer.start()
    time.sleep(3)
    producer.kill()
    sidecar.start()
    assert_all_there_once(sidecar, producer)


def test_a_full_spool_tells_what_it_lost(sidecar: Sidecar, producer: Producer) -> None:
    settings = sidecar.home / "plugin.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"spoolMaxBytes": 64 * 1024}))
    sidecar.kill()
    producer.rate = 2000
    producer.start()
    time.sleep(2)
    producer.kill()
    sidecar.start(wait=False)
    # The sidecar writes plugin.json at its start; the limit must stay small for what is recovered.
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"spoolMaxBytes": 64 * 1024}))
    sidecar.wait_up()
    assert_all_there_once(sidecar, producer)
    _, lost = stored(sidecar)
    assert lost > 1000


def test_a_full_disk_under_the_spool(sidecar: Sidecar, producer: Producer, tmp_path: Path) -> None:
    spool = sidecar.home / "spool"
    spool.mkdir()
    _mount_tmpfs(spool, "300k")
    try:
        sidecar.kill()
        producer.rate = 2000
        producer.start()
        time.sleep(2)
        sidecar.start()
        time.sleep(2)
        assert_all_there_once(sidecar, producer)
        _, lost = stored(sidecar)
        assert lost > 100
    finally:
        producer.close()
        subprocess.run(["umount", "-l", str(spool)], check=True)


def test_a_full_disk_under_jetstream_is_503_and_everything_arrives_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount_tmpfs(disk, "120m")
    nats = NatsServer(tmp_path / "nats", store=disk / "js")
    nats.start()
    sidecar = Sidecar(tmp_path / "state", nats)
    sidecar.start()
    producer = Producer(sidecar.home, tmp_path / "ledger", rate=500)
    (sidecar.home / "plugin.json").write_text(json.dumps({"sidecarUrl": sidecar.url, "gatewayId": "chaos"}))
    try:
        producer.start()
        filler = disk / "filler"
        wait_until(lambda: len(sidecar.events()) > 200, what="some events")
        with contextlib.suppress(OSError), filler.open("wb") as file:  # until the disk is full
            while True:
                file.write(b"x" * 65536)
                file.flush()
        wait_until(lambda: sidecar.publish("agent.events.custom.a", "x" * 100_000)[0] == 503, 60, "503 on a full disk")
        filler.unlink()
        time.sleep(1)
        nats.kill()  # JetStream switches itself off on a full disk; the supervisor restarts it (test_supervisor.py)
        nats.start()
        wait_until(lambda: sidecar.get("/api/health")[0] == 200, 60, "the sidecar to be well again")
        time.sleep(2)
        assert_all_there_once(sidecar, producer, 90)
    finally:
        producer.close()
        sidecar.close()
        nats.close()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _mount_tmpfs(folder: Path, size: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root or user namespaces (dev.py test uses them where it can)")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
