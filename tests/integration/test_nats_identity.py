"""A managed nats-server and the sidecar know each other: neither learns anything from whoever has the other's port."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import nkeys
import pytest

from openclaw_nats.errors import Unavailable
from openclaw_nats.jetstream.connection import connected
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.server_proof import server_proof
from openclaw_nats.locations import Locations
from openclaw_nats.service import nats_config
from openclaw_nats.settings import Settings, load
from tests.support.processes import NATS_PASSWORD, NatsServer


@pytest.fixture
def settings(tmp_path: Path, nats: NatsServer) -> Settings:
    """The settings of an installation whose nats-server runs with the configuration that is written for it."""
    home = tmp_path / "state" / "nats"
    home.mkdir(parents=True)
    (home / "nats-password").write_text(NATS_PASSWORD)
    (home / "config.toml").write_text(
        f'[nats]\nurl = "{nats.url}"\nuser = "openclaw-nats"\npassword_file = "{home / "nats-password"}"\n'
    )
    (home / "logs").mkdir()
    found = load(home, {})
    nats_config.make_nkey(Locations(home))
    nats.kill()
    nats.config.write_text(nats_config.render(found))
    nats.start()
    return found


def ask(options: Options) -> str:
    async def answer() -> str:
        async with connected(options, 3) as connection:
            return str((await connection.api("INFO"))["type"])

    return asyncio.run(answer())


def test_the_sidecar_comes_by_nkey_and_programs_of_the_operator_with_the_password(settings: Settings) -> None:
    options = Options.from_settings(settings)
    assert (options.user, options.password) == ("", "")
    assert "account_info" in ask(options)
    assert "account_info" in ask(Options(options.servers, "openclaw-nats", NATS_PASSWORD))
    nkey = settings.home / "nats-nkey"
    assert nkey.stat().st_mode & 0o077 == 0
    before = nkey.read_text()
    nats_config.make_nkey(Locations(settings.home))
    assert nkey.read_text() == before


def test_an_installation_without_a_seed_goes_on_with_the_password(settings: Settings) -> None:
    (settings.home / "nats-nkey").unlink()
    assert Options.from_settings(settings).password == NATS_PASSWORD
    assert "account_info" in ask(Options.from_settings(settings))


def test_a_server_that_knows_the_nkey_and_not_the_proof_is_not_used(settings: Settings, nats: NatsServer) -> None:
    proof = server_proof((settings.home / "nats-nkey").read_text())
    nats.kill()
    nats.config.write_text(nats.config.read_text().replace(proof, "openclaw-nats.proof.other"))
    nats.start()
    with pytest.raises(Unavailable, match="does not prove"):
        ask(Options.from_settings(settings))


def test_whoever_has_the_port_of_nats_gets_nothing_of_use(settings: Settings, nats: NatsServer) -> None:
    nats.kill()
    heard = b""
    listener = socket.create_server(("127.0.0.1", nats.port))

    def impostor() -> None:
        nonlocal heard
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            with link:
                link.settimeout(2)
                link.sendall(
                    b'INFO {"server_id":"X","version":"2.15.1","proto":1,"headers":true,"max_payload":1048576,'
                    b'"auth_required":true,"nonce":"abcdefghijklmno","jetstream":true}\r\n'
                )
                try:
                    while data := link.recv(65536):
                        heard += data
                        if b"PING" in data:
                            link.sendall(b"PONG\r\n")
                except OSError:
                    pass

    thread = threading.Thread(target=impostor, daemon=True)
    thread.start()
    try:
        with pytest.raises(Unavailable):
            ask(Options.from_settings(settings))
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
    assert b'"nkey"' in heard
    seed = (settings.home / "nats-nkey").read_text().strip()
    for secret in (NATS_PASSWORD, seed, server_proof(seed), "agent."):
        assert secret.encode() not in heard


def test_a_wrong_seed_is_refused(settings: Settings) -> None:
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER).decode()
    (settings.home / "nats-nkey").write_text(seed)
    with pytest.raises(Unavailable, match="uthorization"):
        ask(Options.from_settings(settings))
