"""A Gateway that does TLS itself, with a certificate that nobody signed."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from openclaw_nats.errors import RetryLater
from openclaw_nats.gateway.hooks import Hooks
from openclaw_nats.gateway.probe import GatewayProbe
from openclaw_nats.installer.openclaw import gateway_answers
from tests.support.parcels import parcel

TOKEN = "token-of-the-hooks"


class TlsGateway:
    """Answers `/healthz` and `/automation/agent` over TLS, and keeps what it was asked with which token."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, str]] = []
        self.certificate = folder / "gateway-cert.pem"
        issued = trustme.CA().issue_cert("openclaw-gateway")
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200 if self.path == "/healthz" else 404, b"ok")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                gateway.asked.append((self.path, self.headers["authorization"]))
                known = self.path == "/automation/agent"
                self.answer(200 if known else 404, b'{"ok":true,"runId":"r","completion":{"status":"ok"}}')

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[TlsGateway]:
    one = TlsGateway(tmp_path)
    yield one
    one.server.shutdown()
    one.server.server_close()


async def send(gateway: TlsGateway, certificate: str, path: str = "/automation") -> object:
    async with aiohttp.ClientSession() as session:
        return await Hooks(gateway.url, lambda: TOKEN, session, 10, path=path, certificate=certificate).send(
            parcel("k")
        )


async def test_turns_are_ordered_below_the_configured_path_with_the_gateways_own_certificate(
    gateway: TlsGateway,
) -> None:
    await send(gateway, str(gateway.certificate))
    assert gateway.asked == [("/automation/agent", f"Bearer {TOKEN}")]
    with pytest.raises(RetryLater, match="404"):
        await send(gateway, str(gateway.certificate), "/hooks")


async def test_the_token_is_not_shown_to_a_peer_with_another_certificate(gateway: TlsGateway, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(trustme.CA().issue_cert("openclaw-gateway").cert_chain_pems[0].bytes())
    with pytest.raises(RetryLater, match="another certificate"):
        await send(gateway, str(other))
    with pytest.raises(RetryLater, match="certificate"):
        await send(gateway, "")
    with pytest.raises(RetryLater, match="can't be read"):
        await send(gateway, str(tmp_path / "none.pem"))
    assert gateway.asked == []


async def test_a_gateway_with_a_certificate_of_its_own_is_seen_to_answer(gateway: TlsGateway) -> None:
    probe = GatewayProbe(gateway.url)
    await probe.refresh()
    assert (probe.reachable, probe.last_error) == (True, "")
    assert gateway_answers(gateway.url)
