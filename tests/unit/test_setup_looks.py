"""What setup looks at before it changes anything: ports, versions of Node, what a configuration says."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from openclaw_nats import port_holder
from openclaw_nats.installer.config_meaning import digest_without_ours
from openclaw_nats.installer.node_version import satisfies


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])  # noqa: S104  (what others do)
def test_who_listens_is_found(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family, dualstack_ipv6=address == "::") as server:
        port = server.getsockname()[1]
        assert not port_holder.is_free(port)
        found = port_holder.holder(port)
        assert found.pid == os.getpid()
        assert f"process {os.getpid()} (" in str(found)
    assert port_holder.is_free(port)


def test_a_port_whose_connections_wait_for_their_end_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server.accept()[0].close()  # this side closes first, and so keeps its end for a minute
        client.close()
    assert port_holder.is_free(port)


def test_another_users_process_is_told_by_its_user(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    line = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"head\n{line}\n")
    assert str(port_holder.holder(0x1F90, tmp_path)) == "a process of the user root"
    assert str(port_holder.holder(0x1F91, tmp_path)) == "another process"


def test_a_holders_arguments_are_not_shown_since_they_may_hold_secrets() -> None:
    command = ("/usr/bin/python3", "server.py", "--password", "secret")
    assert str(port_holder.Holder(7, "python3", command)) == "process 7 (python3 server.py)"
    assert str(port_holder.Holder(7, "x", ("/bin/x", "--token=secret"))) == "process 7 (x)"


@pytest.mark.parametrize(
    ("wanted", "right", "wrong"),
    [
        (">=24.16.0 <25 || >=26.1.0", [(24, 16, 0), (26, 1, 0), (27, 0, 0)], [(24, 15, 9), (25, 0, 0), (26, 0, 9)]),
        (">=22.12.0", [(22, 12, 0), (24, 0, 0)], [(22, 11, 9), (20, 0, 0)]),
        ("^22.3", [(22, 3, 0), (22, 9, 1)], [(22, 2, 9), (23, 0, 0)]),
        ("~22.3.1", [(22, 3, 1), (22, 3, 9)], [(22, 4, 0)]),
        ("22", [(22, 9, 9)], [(23, 0, 0)]),
        ("<=22", [(22, 9, 9)], [(23, 0, 0)]),
        ("*", [(1, 0, 0)], []),
    ],
)
def test_ranges_of_node_versions(
    wanted: str, right: list[tuple[int, int, int]], wrong: list[tuple[int, int, int]]
) -> None:
    assert all(satisfies(one, wanted) for one in right)
    assert not any(satisfies(one, wanted) for one in wrong)


def test_a_configuration_without_ours_is_the_same_before_and_after() -> None:
    before = {"gateway": {"port": 1}, "plugins": {"allow": ["other"]}, "hooks": {"path": "/x"}}
    after = {
        "gateway": {"port": 1},
        "plugins": {"allow": ["other", "bus"], "entries": {"bus": {"enabled": True}}, "installs": {"bus": {}}},
        "hooks": {"path": "/x", "enabled": True, "token": "t"},
        "meta": {"lastTouchedAt": 1},
        "commands": {"native": "auto", "restart": True},  # 2026.3 adds these by itself
        "agents": {"defaults": {"compaction": {"mode": "safeguard"}}},
    }
    assert digest_without_ours(before, "bus") == digest_without_ours(after, "bus")
    for others in ({"gateway": {"port": 2}}, {"plugins": {"allow": ["bus", "third"]}}, {"commands": {"native": "off"}}):
        assert digest_without_ours(before, "bus") != digest_without_ours(after | others, "bus")
