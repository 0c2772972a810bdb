"""`openclaw-nats completion`."""

from __future__ import annotations

import click

from openclaw_nats.cli.output import json_option, print_json, verbatim

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_OPENCLAW_NATS_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
def command(as_json: bool, shell: str) -> None:
    """Print the script with which SHELL completes commands and options.

    bash: openclaw-nats completion bash > ~/.local/share/bash-completion/completions/openclaw-nats.
    zsh: into a file _openclaw-nats in a folder of $fpath.
    fish: into ~/.config/fish/completions/openclaw-nats.fish.
    """
    from click.shell_completion import get_completion_class

    from openclaw_nats.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"there is no completion for {shell}")
    script = found(cli, {}, "openclaw-nats", VARIABLE).source()
    if as_json:
        from openclaw_nats.contract.command_line import CompletionScript

        print_json(CompletionScript(shell, script))
    else:
        verbatim(script)
