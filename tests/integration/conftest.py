"""One NATS and one sidecar for all tests that do not break them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installation
from tests.support.processes import NatsServer, Sidecar


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A running sidecar that a whole module shares."""
    folder = tmp_path_factory.mktemp("bus")
    nats = NatsServer(folder / "nats-server")
    nats.start()
    sidecar = Sidecar(folder / "state", nats)
    sidecar.start()
    yield sidecar
    sidecar.close()
    nats.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Installation]:
    """A running installation of this test's own."""
    one = Installation(tmp_path / "house")
    one.start()
    yield one
    one.stop()
