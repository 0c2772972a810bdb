"""Switching from @omnixal/openclaw-nats-plugin: find it, read it, show what would change, import, and undo."""
