"""A private, real OpenClaw Gateway with a scripted model: the demo, and what the tests drive."""
