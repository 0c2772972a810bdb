"""`--instruction` and `--instruction-file`, which routes, jobs and timers share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from openclaw_nats.events.instructions import MAX_BYTES


def instruction_options(help_text: str) -> tuple[Any, Any]:
    """The two options; both end up in what `instruction_of` takes."""
    file = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
    return (
        click.option("--instruction", metavar="TEXT", help=f"{help_text}, in plain words."),
        click.option("--instruction-file", type=file, help="The same, from a file (- is standard input)."),
    )


def instruction_of(given: dict[str, Any]) -> str | None:
    """The instruction that was given; None when none was, empty to take one away."""
    text: str | None = given.pop("instruction", None)
    file: Path | None = given.pop("instruction_file", None)
    if file is None:
        return text
    if text is not None:
        raise click.UsageError("--instruction and --instruction-file can't be given together.")
    try:
        with click.open_file(str(file), "rb") as stream:
            content = stream.read(4 * MAX_BYTES + 1)
            # What is longer is refused for its length, wherever it was cut.
            found: str = content.decode("utf-8", "strict" if len(content) <= 4 * MAX_BYTES else "ignore")
    except OSError as error:
        raise click.UsageError(f"--instruction-file: {file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--instruction-file: {file} is no text in UTF-8") from None
    return found.removeprefix("\ufeff").replace("\r\n", "\n").strip()
