"""Fixtures that several folders share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.processes import NatsServer, Sidecar

# A busy machine makes examples slowly: that says nothing about the code.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server of this test's own."""
    server = NatsServer(tmp_path / "nats-server")
    server.start()
    yield server
    server.close()


@pytest.fixture
def sidecar(tmp_path: Path, nats: NatsServer) -> Iterator[Sidecar]:
    """A running sidecar of this test's own."""
    one = Sidecar(tmp_path / "state", nats)
    one.start()
    yield one
    one.close()
