"""A NATS that runs already, by each way to sign in: password, address, nkey, credentials file, TLS of a private CA."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nkeys
import pytest
import trustme

from tests.support.nats_auth import new_key, operator_mode
from tests.support.processes import API_KEY, NatsServer, Sidecar, event, wait_until


class OthersNats(NatsServer):
    """A nats-server with a configuration that we did not write."""

    def __init__(self, folder: Path, authorization: str, tls: str = "") -> None:
        super().__init__(folder)
        self.config.write_text(
            f'listen: "127.0.0.1:{self.port}"\nmax_payload: 2MB\njetstream: {{ store_dir: "{folder / "js"}" }}\n'
            + authorization
            + tls
        )


WAYS = ("password", "address", "nkey", "credentials", "tls")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def arrange(folder: Path, way: str) -> tuple[OthersNats, dict[str, str], dict[str, str]]:
    """(the server, the right options, options with which it must not let us in)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("password", "wrong", "seed", "user.creds", "ca.pem", "server.pem")}
    files["wrong"].write_text("not the password")
    if way == "nkey":
        public, seed = new_key()
        files["seed"].write_bytes(seed)
        other = folder / "other-seed"
        other.write_bytes(new_key()[1])
        server = OthersNats(folder / "nats", f"authorization: {{ users: [ {{ nkey: {public} }} ] }}\n")
        return server, {"--nats-nkey": str(files["seed"])}, {"--nats-nkey": str(other)}
    if way == "credentials":
        config, creds = operator_mode()
        files["user.creds"].write_text(creds)
        stranger = folder / "stranger.creds"
        stranger.write_text(operator_mode()[1])
        server = OthersNats(folder / "nats", config)
        return server, {"--nats-credentials": str(files["user.creds"])}, {"--nats-credentials": str(stranger)}
    if way == "address":  # percent-encoded, as any URL has it
        server = OthersNats(folder / "nats", 'authorization: { user: "me@x.org", password: "p:a/s@s ü" }\n')
        server.url = server.url.replace("//", "//me%40x.org:p%3Aa%2Fs%40s%20%C3%BC@")
        return server, {}, {"--nats-user": "me@x.org", "--nats-password-file": str(files["wrong"])}
    files["password"].write_text("a password")
    right = {"--nats-user": "bus", "--nats-password-file": str(files["password"])}
    authorization = 'authorization: { user: bus, password: "a password" }\n'
    if way == "password":
        server = OthersNats(folder / "nats", authorization)
        return server, right, {**right, "--nats-password-file": str(files["wrong"])}
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(files["ca.pem"]))
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(files["server.pem"]))
    tls = f'tls: {{ cert_file: "{files["server.pem"]}", key_file: "{files["server.pem"]}" }}\n'
    server = OthersNats(folder / "nats", authorization, tls)
    server.url = server.url.replace("nats://", "tls://")
    strange = folder / "strange-ca.pem"
    trustme.CA().cert_pem.write_to_path(str(strange))
    return server, {**right, "--nats-ca": str(files["ca.pem"])}, {**right, "--nats-ca": str(strange)}


class Up:
    """`openclaw-nats up` with options, in a state directory of its own."""

    def __init__(self, folder: Path, nats: NatsServer, options: dict[str, str]) -> None:
        self.sidecar = Sidecar(folder, nats)
        (self.sidecar.home / "config.toml").unlink()
        self.arguments = ["--nats-url", nats.url, "--sidecar-port", str(self.sidecar.port)]
        self.arguments += [word for pair in options.items() for word in pair]

    def __enter__(self) -> Sidecar:
        with (self.sidecar.home / "up.out").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "openclaw_nats", "up", *self.arguments],
                env=self.sidecar.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        return self.sidecar

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def arranged(tmp_path: Path, way: str) -> Iterator[tuple[OthersNats, dict[str, str], dict[str, str]]]:
    found = arrange(tmp_path / way, way)
    found[0].start()
    yield found
    found[0].close()


def test_events_are_stored_there_with_the_right_credentials(
    tmp_path: Path, arranged: tuple[OthersNats, dict[str, str], dict[str, str]]
) -> None:
    nats, right, _ = arranged
    with Up(tmp_path / "state", nats, right) as sidecar:
        wait_until(lambda: sidecar.get("/api/health")[0] == 200, 20, "the sidecar")
        assert sidecar.post_events([event(1)])[1]["accepted"] == 1
        assert [one["id"] for one in sidecar.events()] == ["id-1"]
        health = sidecar.get("/api/health")[1]["nats"]
        assert "password" not in health["url"]
        for child in ("sidecar.db", "logs/sidecar.log"):
            kept = (sidecar.home / child).read_bytes()
            assert b"a password" not in kept
            assert b"-----BEGIN" not in kept
        assert API_KEY not in (sidecar.home / "logs" / "sidecar.log").read_text()
    # the settings are kept: the next start needs no options
    with Up(tmp_path / "state", nats, {}) as sidecar:
        pass


def test_with_wrong_ones_nothing_is_stored_and_the_reason_is_told(
    tmp_path: Path, arranged: tuple[OthersNats, dict[str, str], dict[str, str]], way: str
) -> None:
    nats, _, wrong = arranged
    with Up(tmp_path / "state", nats, wrong) as sidecar:
        told = wait_until(
            lambda: (answer := sidecar.get("/api/health")[1]) and answer["nats"]["lastError"], 20, "the reason"
        )
        assert ("certificate" if way == "tls" else "uthorization") in told
        assert sidecar.publish("agent.events.custom.x", 1)[0] == 503


def test_files_that_are_no_credentials_are_told_too(tmp_path: Path) -> None:
    nats = OthersNats(tmp_path / "nats", f"authorization: {{ users: [ {{ nkey: {new_key()[0]} }} ] }}\n")
    nats.start()
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("this is no key\n")
    try:
        for option in ("--nats-nkey", "--nats-credentials", "--nats-ca"):
            nats_url = nats.url.replace("nats://", "tls://") if option == "--nats-ca" else nats.url
            one = Up(tmp_path / f"state{option}", nats, {option: str(rubbish)})
            one.arguments[1] = nats_url
            with one as sidecar:
                told = wait_until(
                    lambda sidecar=sidecar: sidecar.get("/api/health")[1]["nats"]["lastError"],
                    20,
                    f"why {option} fails",
                )
                assert str(rubbish) in told or option == "--nats-ca"
                assert one.process.poll() is None
    finally:
        nats.close()


def test_a_user_without_an_address_is_refused(tmp_path: Path) -> None:
    seed = tmp_path / "seed"
    seed.write_bytes(new_key(nkeys.PREFIX_BYTE_USER)[1])
    done = subprocess.run(
        [sys.executable, "-m", "openclaw_nats", "up", "--nats-nkey", str(seed)],
        env={"OPENCLAW_STATE_DIR": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--nats-url" in done.stderr
    assert not (tmp_path / "nats" / "config.toml").exists()
