"""`openclaw-nats receive`: its file, and what it prints."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from openclaw_nats.contract.fields import Answer


class ReceiverNats(Struct, forbid_unknown_fields=True, kw_only=True):
    """The nats-server beside the receiver. `key` is the name of the limited key in the house, `key_file` holds it."""

    key: str
    key_file: str
    url: str = "nats://127.0.0.1:4222"
    ca_file: str = ""


class ReceiverFile(Struct, forbid_unknown_fields=True, kw_only=True):
    """The file of `openclaw-nats receive`: paths are beside it. `public_url` is the address as providers have it: https
    there without a certificate here means a proxy with TLS in front. `source` are tables as `sources apply` has them; a
    secret that was replaced counts for `keep_replaced_secret` seconds more.
    """

    nats: ReceiverNats
    state: str = "receive-state"
    listen: str = "127.0.0.1:8480"
    public_url: str = ""
    tls_certificate: str = ""
    tls_key: str = ""
    plain_http: bool = False
    max_connections: Annotated[int, Meta(ge=8, le=65536)] = 512
    log: Literal["debug", "info", "warning", "error"] = "info"
    keep_replaced_secret: Annotated[float, Meta(ge=0, le=30 * 86400)] = 86400.0
    source: list[dict[str, object]] = field(default_factory=list)


class ReceiverSource(Answer):
    """A source of a receiver: its address as the provider needs it, and where that goes there."""

    name: str
    type: str
    address: str
    subject: str
    paste: str


class ReceiverSources(Answer):
    """All sources of a receiver."""

    sources: list[ReceiverSource]
