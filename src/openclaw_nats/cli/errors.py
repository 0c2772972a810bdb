"""What a command that can't go on says: what went wrong, where, what to do, and the exit code."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

import click

from openclaw_nats.cli.group import UnknownCommand
from openclaw_nats.cli.guarded import Ended
from openclaw_nats.cli.output import fail, fail_with
from openclaw_nats.errors import InvalidInput, OpenClawNatsError, words_for
from openclaw_nats.suggestions import did_you_mean

DEBUG_VARIABLE = "OPENCLAW_NATS_DEBUG"
_FULL = 1 << 20  # bytes: a disk with less is full for us
_DISK = {
    errno.ENOSPC: ("the disk is full", "free some space there, then repeat it."),
    errno.EDQUOT: ("the quota of disk space is used up", "free some space there, then repeat it."),
    errno.EROFS: ("the file system is read-only", "mount it writable; OPENCLAW_STATE_DIR names another place."),
    errno.EACCES: ("permission denied", "who owns it? `ls -ld` shows it; run this as the user of the Gateway."),
    errno.EPERM: ("not permitted", "who owns it? `ls -ld` shows it; run this as the user of the Gateway."),
    errno.EMFILE: ("too many open files", "raise `ulimit -n`."),
    errno.EIO: ("the disk does not read or write", "see `dmesg`: it may be broken."),
}


def report(error: BaseException, *, as_json: bool) -> NoReturn:
    """Print an error for its kind and end with its exit code; what is no mistake of the operator's says so."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        sys.exit(130)
    if isinstance(error, Ended):
        sys.exit(error.exit_code)
    if isinstance(error, click.ClickException):
        fail_with(_message(error), _usage_hint(error), error.exit_code, as_json=as_json)
    if isinstance(error, OpenClawNatsError):
        fail(error, as_json=as_json)
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    if isinstance(error, UnicodeEncodeError) and (word := next(filter(_is_no_text, sys.argv[1:]), "")):
        fail(NoText(word), as_json=as_json)
    if isinstance(error, OSError):
        what, hint = _disk(error)
        fail_with(what, hint, 1, as_json=as_json)
    if type(error).__module__ == "sqlite3":
        fail_with(
            f"the database: {error}", "`openclaw-nats doctor` looks at the disk and the files.", 1, as_json=as_json
        )
    fault = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    hint = f"this is a fault of openclaw-nats: please report it ({DEBUG_VARIABLE}=1 shows where it is)."
    fail_with(f"{fault} ({_place(error)})", hint, 1, as_json=as_json)


class NoText(InvalidInput):
    """A word of the command line is not UTF-8."""

    def __init__(self, word: str) -> None:
        hint = "is the terminal's encoding UTF-8? `locale` shows it."
        super().__init__(f"{ascii(word)[:80]} on the command line is not UTF-8", hint=hint)


def check_text(words: list[str]) -> None:
    """Raise NoText for a word that is no text, and no file either: those may have any name."""
    for word in words:
        if _is_no_text(word) and "/" not in word and not Path(word).exists():
            raise NoText(word)


def _is_no_text(word: str) -> bool:
    """Whether a word of the command line holds bytes that are no text."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return True
    return False


def _message(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {error.option_name}"
    text = error.format_message()
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _usage_hint(error: click.ClickException) -> str:
    if isinstance(error, UnknownCommand):
        return error.hint
    context = getattr(error, "ctx", None)
    if context is None:
        return ""
    help_text = f"`{context.command_path} --help` shows how it is used."
    if isinstance(error, click.NoSuchOption):
        options = [name for one in context.command.get_params(context) for name in (*one.opts, *one.secondary_opts)]
        return did_you_mean(error.option_name, [one for one in options if one.startswith("-")], help_text)
    return help_text


def _disk(error: OSError) -> tuple[str, str]:
    """What an error of the operating system means, where it happened, and what to do."""
    reason, hint = _DISK.get(error.errno or 0, (error.strerror or words_for(error), ""))
    if error.filename:
        where = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else str(error.filename)
    else:
        where = _full_place() if error.errno == errno.ENOSPC else ""
    hint = hint or "`openclaw-nats doctor` says what is wrong with this machine."
    return f"{where}: {reason}" if where else reason, hint


def _full_place() -> str:
    """Which of the places that we write to is full: a write that fails does not name its file."""
    from openclaw_nats.settings import state_dir

    for place in (state_dir() / "nats", state_dir(), Path.cwd(), Path(tempfile.gettempdir())):
        if place.exists() and shutil.disk_usage(place).free < _FULL:
            return str(place)
    return "standard output"


def _place(error: BaseException) -> str:
    """Where in our code it happened."""
    package = str(Path(__file__).parent.parent)
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(package)]
    return f"{Path(ours[-1].filename).relative_to(package)}, line {ours[-1].lineno}" if ours else "outside of it"
