"""Before anything is started: a restore that was killed is finished, or what it had prepared is removed."""

from __future__ import annotations


def finish_restore() -> None:
    """See backup.swap.recover; says so on stderr when the state directory has changed."""
    from openclaw_nats.settings import state_dir

    home = state_dir() / "nats"
    if not (home / ".restore").is_dir():
        return
    from openclaw_nats.backup.restoring import remove_noted
    from openclaw_nats.backup.swap import recover
    from openclaw_nats.cli.output import step

    if recover(home, remove_noted):
        step("!", "an interrupted restore has been finished", err=True)
