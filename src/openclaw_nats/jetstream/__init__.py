"""NATS JetStream: the only folder that imports the `nats` package."""
