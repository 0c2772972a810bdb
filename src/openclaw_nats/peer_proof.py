"""Who is at the other end of a connection: each side proves that it knows the API key, and neither says it.

While the sidecar is away another program, another user's even, may listen on its port. So a client first asks whoever
listens to prove itself, over the very connection on which it goes on:

    GET /api/proof?nonce=<64 hex digits>      → {"nonce", "address", "proof"}
    any request, Authorization: Session <token>

`proof` and `token` are HMACs of both nonces, of the address on which the sidecar took the connection, and of the side
that says them, so that neither is of use to say the other, or on another connection. A program that passes the
question on to the real sidecar gains nothing on one machine: the address in the proof is not the one that was dialled.

Plugin (peer-proof.js), commands and sidecar compute the same. They do so over the Unix socket in the state directory
(its address is its path) and by TLS on one machine, too; of a sidecar elsewhere by TLS the certificate is the proof.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets

PATH = "/api/proof"
SCHEME = "Session"
_NONCE = re.compile(r"[0-9a-f]{64}")
UNPROVEN = "what listens there does not prove that it knows the API key"
OTHER_KEY = f"{UNPROVEN}: its proof is of another key"


def new_nonce() -> str:
    """256 random bits as hex digits."""
    return secrets.token_hex(32)


def is_nonce(text: str) -> bool:
    """Whether a text has the form of a nonce."""
    return _NONCE.fullmatch(text) is not None


def address_of(host: str, port: int) -> str:
    """An address as both sides write it: `127.0.0.1:3104`, `[::1]:3104`; IPv4 within IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return f"{host}:{port}"
    plain = getattr(address, "ipv4_mapped", None) or address
    return f"[{plain}]:{port}" if plain.version == 6 else f"{plain}:{port}"


def proof(key: str, client: str, sidecar: str, address: str) -> str:
    """What the sidecar says, of the client's nonce and its own."""
    return _mac(key, "sidecar", client, sidecar, address)


def token(key: str, client: str, sidecar: str, address: str) -> str:
    """What the client says with each request of this connection, and of no other."""
    return _mac(key, "client", client, sidecar, address)


def why_not(key: str, client: str, answer: object, dialled: str) -> str:
    """Why an answer does not prove that the real sidecar gave it; empty when it does.

    A sidecar that listens on loopback can only be dialled there. Elsewhere addresses change on the way (containers).
    """
    fields = answer if isinstance(answer, dict) else {}
    given = [fields.get(name) for name in ("nonce", "address", "proof")]
    if not all(isinstance(one, str) and len(one) <= 300 for one in given):
        return UNPROVEN
    nonce, address, said = map(str, given)
    if not hmac.compare_digest(proof(key, client, nonce, address).encode(), said.encode("utf-8", "replace")):
        return OTHER_KEY
    if is_loopback(address) and address != dialled:
        return f"its proof comes from {address}: something passes the connection on"
    return ""


def is_loopback(address: str) -> bool:
    """Whether an address of `address_of` is one of this machine's own."""
    return address.startswith(("127.", "[::1]:"))


def _mac(key: str, side: str, *parts: str) -> str:
    text = "\n".join(("openclaw-nats proof 1", side, *parts))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()
