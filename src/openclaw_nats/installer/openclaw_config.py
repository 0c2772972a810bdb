"""OpenClaw's configuration file as OpenClaw itself reads it: JSON5, `$include`, then `${VARIABLE}` in every text.

The rules are those of OpenClaw's own docs (gateway/configuration/common-tasks.md, gateway/config-secrets-env.md), and
were tried on 2026.3.1, 2026.6.11 and 2026.9.6. The file is read here, and not asked for by `openclaw config get`,
because each call of that command takes seconds and it shows no secret, not even to its owner.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openclaw_nats.errors import SetupError
from openclaw_nats.file_signature import signature
from openclaw_nats.installer import json5_text
from openclaw_nats.installer.dotenv import read_dotenv

INCLUDE = "$include"
_MAX_BYTES = 16 << 20
_MAX_INCLUDE_BYTES = 2 << 20  # these two are OpenClaw's own limits
_MAX_DEPTH = 10
_REFERENCE = re.compile(r"\$(\$?)\{([A-Z_][A-Z0-9_]*)\}")


@dataclass(frozen=True)
class OpenClawConfig:
    """One configuration, read. `files` are all files that it was made of, with what shows a change of each."""

    values: dict[str, Any] = field(default_factory=dict)
    authored: dict[str, Any] = field(default_factory=dict)  # the file itself, nothing resolved
    environment: Mapping[str, str] = field(default_factory=dict)  # what `${VARIABLE}` was looked up in
    unset: frozenset[str] = frozenset()  # variables that are referred to and have no value
    files: tuple[tuple[Path, tuple[int, ...]], ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether none of its files has changed since."""
        return all(signature(path) == seen for path, seen in self.files)

    def section(self, *keys: str) -> dict[str, Any]:
        """A part of it by its path; empty when it is not there or is no object."""
        found: Any = self.values
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def read(path: Path, state_dir: Path, environment: Mapping[str, str]) -> OpenClawConfig:
    """Read the configuration; an empty one when there is no file. Raises SetupError that names file and place."""
    reader = _Reader(path, _include_roots(environment))
    authored = reader.file(path, _MAX_BYTES)
    if authored is None:
        return OpenClawConfig(files=tuple(reader.files))
    if not isinstance(authored, dict):
        raise SetupError(f"{path} holds no object", hint="`openclaw doctor` may repair it.")
    included = reader.resolve(authored, path, (path,))
    variables = _variables(included, state_dir, environment, reader)
    unset: set[str] = set()
    values = _substitute(included, variables, unset)
    return OpenClawConfig(values, authored, variables, frozenset(unset), tuple(reader.files))


class _Reader:
    """Reads files and notes them; `$include` may name what lies below the configuration's folder or a root."""

    def __init__(self, path: Path, roots: list[Path]) -> None:
        self._roots = [path.parent, *roots]
        self.files: list[tuple[Path, tuple[int, ...]]] = []

    def file(self, path: Path, limit: int) -> Any:
        """A parsed file; None when it does not exist."""
        seen = signature(path)
        self.files.append((path, seen))
        try:
            if seen and seen[2] > limit:
                raise SetupError(f"{path} is larger than {limit >> 20} MiB")
            if seen and not path.is_file():
                raise SetupError(f"{path} is no file")
            return json5_text.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SetupError(f"{path} can't be read: {error.strerror}") from None
        except ValueError as error:
            hint = "`openclaw doctor` may repair it."
            raise SetupError(f"{path} can't be read: {error}", hint=hint) from None

    def resolve(self, value: Any, path: Path, chain: tuple[Path, ...]) -> Any:
        """`value` of the file `path` with every `$include` in it replaced; `chain` are the files that led here."""
        if isinstance(value, list):
            return [self.resolve(item, path, chain) for item in value]
        if not isinstance(value, dict):
            return value
        own = {key: self.resolve(item, path, chain) for key, item in value.items() if key != INCLUDE}
        if INCLUDE not in value:
            return own
        names = value[INCLUDE] if isinstance(value[INCLUDE], list) else [value[INCLUDE]]
        found: Any = {}
        for at, name in enumerate(names):
            included = self._included(name, path, chain)
            found = _merge(found, included) if at else included
        if not own:
            return found
        if not isinstance(found, dict):
            raise SetupError(f"{path}: an {INCLUDE} with other keys next to it must name an object")
        return _merge(found, own)

    def _included(self, name: object, path: Path, chain: tuple[Path, ...]) -> Any:
        if not isinstance(name, str) or not name or "\0" in name:
            raise SetupError(f"{path}: {INCLUDE} takes the name of a file, or a list of names")
        target = Path(os.path.normpath(path.parent / name))
        real = Path(os.path.realpath(target))
        inside = any(target.is_relative_to(root) for root in self._roots)
        if not inside or not any(real.is_relative_to(os.path.realpath(root)) for root in self._roots):
            hint = "OpenClaw refuses it as well, unless OPENCLAW_INCLUDE_ROOTS names its folder."
            raise SetupError(f"{path}: {INCLUDE} {name!r} leads out of {self._roots[0]}", hint=hint)
        if target in chain or len(chain) > _MAX_DEPTH:
            raise SetupError(f"{path}: {INCLUDE} {name!r} is circular or nested too deeply")
        found = self.file(target, _MAX_INCLUDE_BYTES)
        if found is None:
            raise SetupError(f"{path}: {INCLUDE} names {target}, which does not exist")
        return self.resolve(found, target, (*chain, target))


def _merge(base: Any, over: Any) -> Any:
    """As OpenClaw merges: objects key by key, lists one after the other, else the later one."""
    if isinstance(base, list) and isinstance(over, list):
        return [*base, *over]
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in over.items()}}


def _include_roots(environment: Mapping[str, str]) -> list[Path]:
    names = environment.get("OPENCLAW_INCLUDE_ROOTS", "").split(os.pathsep)
    return [Path(name.strip()).expanduser().absolute() for name in names if name.strip()]


def _variables(config: Any, state_dir: Path, environment: Mapping[str, str], reader: _Reader) -> dict[str, str]:
    """What `${VARIABLE}` may name, the stronger last: the configuration's own `env`, `.env`, the environment."""
    own = config.get("env") if isinstance(config, dict) else None
    own = own if isinstance(own, dict) else {}
    inner = own.get("vars") if isinstance(own.get("vars"), dict) else {}
    texts = {**{key: value for key, value in own.items() if key not in ("vars", "shellEnv")}, **(inner or {})}
    file = state_dir / ".env"
    reader.files.append((file, signature(file)))
    return {
        **{key: value for key, value in texts.items() if isinstance(value, str) and not _REFERENCE.search(value)},
        **read_dotenv(file),
        **environment,
    }


def _substitute(value: Any, variables: Mapping[str, str], unset: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _substitute(item, variables, unset) for key, item in value.items()}
    if isinstance(value, list):
        return [_substitute(item, variables, unset) for item in value]
    if not isinstance(value, str) or "$" not in value:
        return value

    def put(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]  # `$${X}` is the text `${X}`
        if not variables.get(match[2]):
            unset.add(match[2])
            return match[0]
        return variables[match[2]]

    return _REFERENCE.sub(put, value)
