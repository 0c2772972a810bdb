"""The command `openclaw-nats`: one file a command, imports inside the commands so that each starts quickly."""
