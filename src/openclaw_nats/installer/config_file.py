"""`config.toml`: changed line by line, so that an operator's comments and order stay."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SettingsError
from openclaw_nats.service.files import write_private
from openclaw_nats.settings import check_value

_HEADER = "# Settings of openclaw-nats. `openclaw-nats config` lists all of them with their meaning.\n"


def set_values(path: Path, values: dict[str, str]) -> bool:
    """Set settings given as text; True when the file changed. Raises SettingsError before anything is written."""
    checked = {name: check_value(name, text) for name, text in values.items()}
    old = path.read_text("utf-8-sig") if path.exists() else _HEADER
    text = old
    for name, value in checked.items():
        text = _set(text, name, _toml_value(value))
    if text == old and path.exists():
        return False
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} can't be changed automatically: {error}", hint="Edit it by hand.") from None
    write_private(path, text)
    return True


def _set(text: str, name: str, value: str) -> str:
    section, _, key = name.rpartition(".")
    lines = text.splitlines()
    begin = 0
    if section:
        header = f"[{section}]"
        stripped = [line.split("#")[0].strip() for line in lines]
        if header not in stripped:
            return text.rstrip("\n") + f"\n\n{header}\n{key} = {value}\n"
        begin = stripped.index(header) + 1
    end = next((at for at in range(begin, len(lines)) if lines[at].lstrip().startswith("[")), len(lines))
    for at in range(begin, end):
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[at]):
            while not _complete("\n".join(lines[at:end])[: sum(len(line) + 1 for line in lines[at : at + 1])]):
                lines[at] += " " + lines.pop(at + 1).strip()
                end -= 1
            lines[at] = f"{key} = {value}"
            return "\n".join(lines) + "\n"
    while end > begin and not lines[end - 1].strip():
        end -= 1
    lines.insert(end, f"{key} = {value}")
    return "\n".join(lines) + "\n"


def _complete(line: str) -> bool:
    try:
        tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, str):  # JSON's escapes are TOML's, too, except for half a surrogate pair, which is no text
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
