"""A group of commands that suggests the nearest one for a name that it does not have."""

from __future__ import annotations

import click

from openclaw_nats.suggestions import did_you_mean


class UnknownCommand(click.UsageError):
    """There is no command of that name; `hint` names the nearest."""

    def __init__(self, message: str, hint: str, context: click.Context) -> None:
        super().__init__(message, context)
        self.hint = hint


class Group(click.Group):
    """A click group with suggestions."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; raise UnknownCommand."""
        name = str(args[0])
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            hint = did_you_mean(name, known, f"`{ctx.command_path} --help` lists all.")
            raise UnknownCommand(f"there is no command {name!r}", hint, ctx)
        return super().resolve_command(ctx, args)
