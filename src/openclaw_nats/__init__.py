"""openclaw-nats: the event bus for OpenClaw (events out to NATS JetStream, events in that wake agents)."""

__version__ = "0.2.0"
