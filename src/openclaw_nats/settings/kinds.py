"""What a setting may hold: how text or TOML becomes a value, and how the value is written again.

`Kind.parse` takes what stands in the environment (text) or in `config.toml` (any TOML value) and raises ValueError,
whose text completes "… must be".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

from openclaw_nats.errors import InvalidSubject
from openclaw_nats.events.subjects import check_nats_subject, check_pattern
from openclaw_nats.settings.units import format_duration, format_size, parse_duration, parse_size
from openclaw_nats.text_formats import from_json

Value = TypeVar("Value")
Word = TypeVar("Word", bound=str)
Shown: TypeAlias = str | int | float | bool | list[object]


def _plain(value: object) -> Shown:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, str | int | float) else str(value)


@dataclass(frozen=True)
class Kind(Generic[Value]):
    """A kind of value; `shown` writes one as people and `config.toml` have it: lists as lists, sizes with units."""

    parse: Callable[[object], Value]
    shown: Callable[[object], Shown] = _plain


def _text(value: object) -> str:
    if not isinstance(value, str) or any(ord(character) < 32 for character in value):
        raise ValueError("one line of text")
    return value


def url(*schemes: str) -> Kind[str]:
    """Addresses, comma-separated, each with one of these schemes; empty for none."""

    def parse(value: object) -> str:
        text = _text(value)
        for part in text.split(",") if text else []:
            if not re.fullmatch(rf"({'|'.join(schemes)})://[^\s/]+(/\S*)?", part.strip()):
                raise ValueError(f"an address that begins with {schemes[0]}://, without spaces")
            port = part.strip().partition("://")[2].partition("/")[0].rpartition("@")[2].rpartition("]")[2]
            number = port.partition(":")[2]
            if ":" in port and not (number.isascii() and number.isdigit() and 1 <= int(number[:6]) <= 65535):
                raise ValueError("an address whose port is a number from 1 to 65535")
        return text.rstrip("/")

    return Kind(parse)


def one_of(*words: Word) -> Kind[Word]:
    """One of a few words."""

    def parse(value: object) -> Word:
        for word in words:
            if value == word:
                return word
        raise ValueError("one of " + ", ".join(words))

    return Kind(parse)


def _path(value: object) -> str:
    text = _text(value).strip("/")
    if not re.fullmatch(r"[^\s?#]+", text):
        raise ValueError("a path such as /hooks")
    return f"/{text}"


def _port(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,5}", str(value)) or not 0 < int(str(value)) < 65536:
        raise ValueError("a port from 1 to 65535")
    return int(str(value))


def _port_or_off(value: object) -> int:
    return 0 if str(value) == "0" else _port(value)


def _whole(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)) or int(str(value)) < 1:
        raise ValueError("a whole number of 1 or more")
    return int(str(value))


def _share(value: object) -> float:
    if isinstance(value, bool) or not 0 <= (share := float(str(value))) <= 1:
        raise ValueError("a number from 0 (none) to 1 (all)")
    return share


def _flag(value: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        value = _json_list(value) if value.startswith("[") else [part.strip() for part in value.split(",") if part]
    if not isinstance(value, list):
        raise ValueError("a list")
    return value


def _json_list(text: str) -> object:
    try:
        return from_json(text)
    except ValueError as error:
        raise ValueError(f"a list: {error}") from None


def _token(value: object) -> str:
    text = _text(value)
    if text and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("a word of letters, digits, - and _")
    return text


def _subject(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", text) or len(text) > 100:
        raise ValueError("a NATS subject without wildcards, such as _INBOX_kitchen")
    return text


def _patterns(value: object) -> tuple[str, ...]:
    try:
        return tuple(check_pattern(pattern) for pattern in _list(value))
    except InvalidSubject as error:
        raise ValueError(f"a list of subject patterns ({error})") from None


def _nats_patterns(value: object) -> tuple[str, ...]:
    try:
        return tuple(check_nats_subject(pattern, pattern=True) for pattern in _list(value))
    except InvalidSubject as error:
        raise ValueError(f"a list of NATS subjects such as services.> ({error})") from None


def _regexes(value: object) -> tuple[str, ...]:
    found = []
    for pattern in _list(value):
        try:
            if not isinstance(pattern, str):
                raise TypeError("no text")
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise ValueError(f"a list of regular expressions ({pattern!r}: {error})") from None
        found.append(pattern)
    return tuple(found)


def _timezone(value: object) -> str:
    try:
        return ZoneInfo(_text(value)).key
    except (KeyError, ValueError, OSError):
        raise ValueError("an IANA time zone such as Europe/Berlin or UTC") from None


def _names(value: object) -> tuple[str, ...]:
    return tuple(_text(name) for name in _list(value))


def _capture_rules(value: object) -> tuple[tuple[str, str], ...]:
    rules = []
    for rule in _list(value):
        if not isinstance(rule, dict) or set(rule) != {"subjects", "mode"} or rule["mode"] not in CAPTURE_MODES:
            raise ValueError('a list of {subjects = "<pattern>", mode = "metadata" or "payload"}')
        rules.append((_patterns([rule["subjects"]])[0], str(rule["mode"])))
    return tuple(rules)


def _inbox_size(value: object) -> int:
    if (size := parse_size(value)) < 16 << 20:
        raise ValueError("a size of 16MiB or more")
    return size


def _amount(value: object) -> float:
    if isinstance(value, bool) or not 0 <= (amount := float(str(value))) <= 1e9:
        raise ValueError("an amount of money such as 5 or 0.50; 0 is no limit")
    return amount


def _prices(value: object) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    found = []
    for one in _list(value):
        if not isinstance(one, dict) or not isinstance(one.get("model"), str) or one.keys() - {"model", *PRICED}:
            raise ValueError('a list of {model = "<name>", input = 3, output = 15, cache_read = …, cache_write = …}')
        found.append((one["model"], tuple((kind, _amount(one[kind])) for kind in PRICED if kind in one)))
    return tuple(found)


def _with_size(value: object) -> Shown:
    return format_size(value) if isinstance(value, int) else str(value)


def _rows(value: object) -> tuple[tuple[str, tuple[tuple[str, float], ...]], ...]:
    return value if isinstance(value, tuple) else ()


def _with_unit(value: object) -> Shown:
    return format_duration(value) if isinstance(value, int | float) else str(value)


PRICED = ("input", "output", "cache_read", "cache_write")
CAPTURE_MODES = ("metadata", "payload")
TEXT = Kind(_text)
HTTP_URL = url("http", "https")
NATS_URLS = url("nats", "tls", "ws", "wss")
URL_PATH = Kind(_path)
PORT = Kind(_port)
PORT_OR_OFF = Kind(_port_or_off)
WHOLE = Kind(_whole)
SHARE = Kind(_share)
FLAG = Kind(_flag)
AMOUNT = Kind(_amount)
PRICES = Kind(_prices, lambda value: [{"model": name, **dict(kinds)} for name, kinds in _rows(value)])
TOKEN = Kind(_token)
SUBJECT = Kind(_subject)
PATTERNS = Kind(_patterns)
NATS_PATTERNS = Kind(_nats_patterns)
REGEXES = Kind(_regexes)
TIMEZONE = Kind(_timezone)
NAMES = Kind(_names)
CAPTURE_RULES = Kind(_capture_rules)
DURATION = Kind(parse_duration, _with_unit)
SIZE = Kind(parse_size, _with_size)
INBOX_SIZE = Kind(_inbox_size, _with_size)
