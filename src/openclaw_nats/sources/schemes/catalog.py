"""Every type of source, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from openclaw_nats.sources.schemes import (
    cloudevents,
    discord,
    generic,
    github,
    gitlab,
    grafana,
    linear,
    shopify,
    slack,
    standard,
    stripe,
    tokens,
    twilio,
    unsigned,
)
from openclaw_nats.sources.schemes.scheme import Scheme

_ALL = (
    standard.SCHEME,
    github.SCHEME,
    gitlab.SCHEME,
    stripe.SCHEME,
    slack.SCHEME,
    shopify.SCHEME,
    linear.SCHEME,
    twilio.SCHEME,
    discord.SCHEME,
    grafana.SCHEME,
    *tokens.SCHEMES,
    cloudevents.SCHEME,
    generic.SCHEME,
    unsigned.SCHEME,
)
UNSIGNED = unsigned.SCHEME.name
SCHEMES: Mapping[str, Scheme] = MappingProxyType({one.name: one for one in _ALL})
