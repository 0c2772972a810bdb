"""Fixtures that several folders share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import balance
from tests.support.processes import NatsServer, Sidecar

# A busy machine makes examples slowly: that says nothing about the code.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--versions`: Gateway tests of every release, not of three. `--all`: also what runs at night."""
    parser.addoption("--all", action="store_true", help="also tests that are marked as nightly")
    parser.addoption("--versions", action="store_true", help="run tests/gateway/test_versions.py on all releases")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out what runs at night. Workers tell tests apart by their names: of several with one name they would run
    one, and say nothing.
    """
    if not config.getoption("all") and not _named(config):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        names = Counter(item.nodeid for item in items)
        if twice := [name for name, count in names.items() if count > 1]:
            raise pytest.UsageError(f"{twice[0]} is the name of {names[twice[0]]} tests: run them without workers")
        items.sort(key=lambda item: balance.rank(item.nodeid))


def _named(config: pytest.Config) -> bool:
    """Whether tests were chosen by name: somebody wants just these."""
    return any("::" in argument for argument in config.args) or bool(config.getoption("keyword"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several workers: tests/support/balance.py says who runs what."""
    return balance.Balanced(config, log) if config.getoption("dist") == "loadfile" else None


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
