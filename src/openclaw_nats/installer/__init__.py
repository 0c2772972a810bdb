"""Setting up and taking down: OpenClaw's side, nats-server, the service."""
