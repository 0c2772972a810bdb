"""`python -m openclaw_nats` is the `openclaw-nats` command."""

from openclaw_nats.cli.main import main

if __name__ == "__main__":
    main()
