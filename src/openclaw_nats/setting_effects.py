"""When a changed setting is in effect. `config set` restarts what runs, so that "start" is then at once."""

from __future__ import annotations

AT_ONCE = "at once"
AT_START = "at the sidecar's next start"
AT_NATS_START = "at nats-server's next start"
AT_PLUGIN = "at the sidecar's next start, in the plugin within 10 s of it"
AT_CREATION = "at the sidecar's next start, for what is made from then on"

_EXCEPTIONS = {
    "sidecar.url": "at once for the CLI, at the sidecar's next start for the plugin",
    "gateway.url": "at once for the CLI, at the sidecar's next start for deliveries",
    "nats.managed": "at the next start of `up`",
    "durability": AT_NATS_START,
    "stream.max_age": "at the sidecar's next start; a stream of somebody else's: with stream.change_adopted",
    "stream.max_bytes": "at the sidecar's next start; a stream of somebody else's: with stream.change_adopted",
    "stream.duplicate_window": "at the sidecar's next start; a stream of somebody else's is only widened",
    "stream.replicas": "at the sidecar's next start; a stream of somebody else's: with stream.change_adopted",
    **dict.fromkeys(("capture.default", "capture.rules", "spool.max_bytes"), AT_PLUGIN),
    **dict.fromkeys(("filter.allow", "filter.block"), AT_PLUGIN),
    "schedules.timezone": AT_CREATION,
    "agents.max_subscriptions": AT_CREATION,
    "agents.subscription_turns_per_hour": AT_CREATION,
    "agents.subscription_expires": AT_CREATION,
    "agents.max_schedules": AT_CREATION,
    "agents.min_interval": AT_CREATION,
}


def applies(name: str) -> str:
    """When a new value of this setting is in effect, in words."""
    return _EXCEPTIONS.get(name, AT_START)


def exceptions() -> frozenset[str]:
    """The settings that are named here; a test holds that they exist."""
    return frozenset(_EXCEPTIONS)
