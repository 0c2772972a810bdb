"""Identities for a nats-server: nkeys, and operator, account and user JWTs as a credentials file holds them.

The JWT's form is that of the NATS JWT v2 specification: claims signed with the issuer's nkey, `jti` a hash of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from typing import Any

import nkeys


def new_key(kind: int = nkeys.PREFIX_BYTE_USER) -> tuple[str, bytes]:
    """(public key, seed) of a new nkey."""
    seed = nkeys.encode_seed(os.urandom(32), kind)
    return nkeys.from_seed(seed).public_key.decode(), seed


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwt(issuer_seed: bytes, subject: str, name: str, claims: dict[str, Any]) -> str:
    issuer = nkeys.from_seed(bytearray(issuer_seed))
    body = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "name": name,
        "sub": subject,
        "nats": {**claims, "version": 2},
    }
    digest = hashlib.new("sha512_256", json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    head = _unpadded(json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode())
    signed = f"{head}.{_unpadded(json.dumps(body).encode())}"
    return f"{signed}.{_unpadded(issuer.sign(signed.encode()))}"


def operator_mode() -> tuple[str, str]:
    """(configuration of a server that trusts a new operator, a .creds file of a user of its one account)."""
    operator, operator_seed = new_key(nkeys.PREFIX_BYTE_OPERATOR)
    account, account_seed = new_key(nkeys.PREFIX_BYTE_ACCOUNT)
    system, _ = new_key(nkeys.PREFIX_BYTE_ACCOUNT)  # JetStream in this mode needs one
    user, user_seed = new_key()
    no_limit = {"subs": -1, "data": -1, "payload": -1}
    limits = {**no_limit, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    disk = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    operator_jwt = _jwt(operator_seed, operator, "operator", {"type": "operator"})
    account_jwt = _jwt(operator_seed, account, "bus", {"type": "account", "limits": {**limits, **disk}})
    system_jwt = _jwt(operator_seed, system, "system", {"type": "account", "limits": limits})
    user_jwt = _jwt(account_seed, user, "gateway", {"type": "user", **no_limit, "pub": {}, "sub": {}})
    config = (
        f'operator: "{operator_jwt}"\nsystem_account: {system}\nresolver: MEMORY\n'
        f'resolver_preload: {{ {account}: "{account_jwt}", {system}: "{system_jwt}" }}\n'
    )
    creds = (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return config, creds
