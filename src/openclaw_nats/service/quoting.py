"""Texts in the files that we write for other programs, each by that program's rules."""

from __future__ import annotations

import os
import re

_PLAIN = re.compile(r"[A-Za-z0-9_@:,./+=-]+")
_ENV = "/usr/bin/env"
# systemd refuses the path of a program that holds one of these, however it is quoted.
_NOT_IN_A_PROGRAM = re.compile(r"[\"'\\$\x00-\x1f\x7f]")


def nats_string(text: str) -> str:
    """A string of nats-server's configuration language: it knows `\\xNN` (a byte), and no `\\u`."""
    plain = {ord(" ")} | set(range(0x21, 0x7F)) - set(b'"\\')
    return '"' + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(text)) + '"'


def nats_name(text: str) -> str:
    """A name for nats-server, which takes no spaces in it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)


def systemd_word(text: str) -> str:
    """One quoted word of a unit file (systemd.syntax, systemd.unit): C escapes, and `%%` for a percent sign."""
    return '"' + "".join(_systemd_character(one) for one in text).replace("%", "%%") + '"'


def systemd_command(words: list[str]) -> str:
    """An `ExecStart=` line (systemd.service): there `$$` stands for a dollar sign, except in the program's path."""
    program, arguments = words[0], words[1:]
    if _NOT_IN_A_PROGRAM.search(program):
        program, arguments = _ENV, words
    return " ".join([_where_needed(program), *(_where_needed(one).replace("$", "$$") for one in arguments)])


def _where_needed(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else systemd_word(text)


def systemd_text(text: str) -> str:
    """A text that is for people, such as `Description=`: one line, nothing expanded."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", text).replace("%", "%%").rstrip("\\")


def _systemd_character(one: str) -> str:
    if one in '"\\':
        return "\\" + one
    if ord(one) < 0x20 or ord(one) == 0x7F:
        return f"\\x{ord(one):02x}"
    return one
