"""Secrets inside of addresses: shown as ***, and put back when an address that was shown comes back.

`https://user:password@host/path?token=…` keeps its form, so that an operator still knows which address it is. These are
secrets: the password, or the user alone where there is none; the value of a query parameter that has a telling name or
looks random; a part of the path that looks random (for Slack, Discord and Home Assistant that part is the key).
"""

from __future__ import annotations

import re
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
MASK = "***"
_TELLING = re.compile(
    r"(?:^|[._-])(?:access|api|auth|code|credential|hmac|hash|key|pass|passwd|password|pin|pw|pwd|secret|sig|signature"
    r"|token)s?(?:$|[._-])|(?:api|access|auth|client)[._-]?(?:key|token|secret)|token$|secret$|password$|signature$",
    re.IGNORECASE,
)
# A date, a version or words with hyphens are no key; letters and digits mixed in one long piece are.
_RANDOM = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_~:%.=+-]{20,}")
_BOT = re.compile(r"bot\d+:[A-Za-z0-9_-]+")
_IN_TEXT = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s'\"<>]{1,4000}", re.IGNORECASE)


def masked(url: str) -> str:
    """The address without its secrets; what is no address is returned as it is."""
    head, mark, rest = url.partition("://")
    if not mark:
        return url
    ends = [at for one in "/?#" if (at := rest.find(one)) >= 0]
    authority, tail = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, "")
    user, at_sign, host = authority.rpartition("@")
    if at_sign:
        name, colon, _ = user.partition(":")
        user = f"{name}:{MASK}" if colon and name else MASK
    path, hash_mark, fragment = tail.partition("#")
    path, question, query = path.partition("?")
    path = "/".join(MASK if _is_key(part) else part for part in path.split("/"))
    query = "&".join(_masked_parameter(one) for one in query.split("&")) if question else ""
    fragment = MASK if fragment and _is_key(fragment) else fragment
    return f"{head}://{user}{at_sign}{host}{path}{question}{query}{hash_mark}{fragment}"


def host_of(url: str) -> str:
    """Scheme, host and port of an address: without a user, a path and a query, which may hold secrets."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


def is_telling(name: str) -> bool:
    """Whether a field's name says that it holds a secret."""
    return bool(_TELLING.search(name))


def masked_value(value: T) -> T | str:
    """A setting's value as it may be shown: of addresses, also of several with commas between them, each masked."""
    return ",".join(masked(one) for one in value.split(",")) if isinstance(value, str) and "://" in value else value


def masked_in(text: str) -> str:
    """A text (an error's, say) with every address in it masked."""
    return _IN_TEXT.sub(lambda match: masked(match[0]), text) if "://" in text else text


def unmasked(url: str, before: str) -> str | None:
    """`url` with its *** replaced by what stood there in `before`, the address as it was saved.

    None when that can't be: another scheme, host or port, where the secret does not belong, or *** where none was.
    """
    if MASK not in url:
        return url
    if url == masked(before):
        return before
    if _origin(url) is None or _origin(url) != _origin(before):
        return None
    pieces, old_pieces = _pieces(url), _pieces(before)
    found = []
    for place, text in pieces:
        if MASK in text:
            joint = 1 if place.startswith("query") else 0  # ? or &, by where it stands
            kept = [
                one for where, one in old_pieces if where == place and _masked_piece(place, one)[joint:] == text[joint:]
            ]
            if not kept:
                return None
            text = text[:joint] + kept[0][joint:]
        found.append(text)
    return "".join(found)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(url)
        return (parts.scheme.lower(), (parts.hostname or "").lower(), parts.port)
    except ValueError:
        return None


def _pieces(url: str) -> list[tuple[str, str]]:
    """An address in pieces that make it up again, each with its place: where a secret may be put back."""
    head, _, rest = url.partition("://")
    found = [("scheme", head + "://")]
    match = re.match(r"([^/?#]*@)?([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", rest, re.DOTALL)
    if match is None:
        return found
    user, host, path, query, fragment = (one or "" for one in match.groups())
    found += [("user", user), ("host", host)]
    found += [(f"path {at}", one) for at, one in enumerate(re.findall(r"/[^/]*|[^/]+", path))]
    for one in re.findall(r"[?&][^&]*", query):
        found.append(("query " + one[1:].partition("=")[0], one))
    return [*found, ("fragment", fragment)]


def _masked_piece(place: str, text: str) -> str:
    around = "x://" if place == "user" else "x://h"
    host = "h" if place == "user" else ""
    if place.startswith("query"):
        return text[:1] + masked(f"{around}?{text[1:]}").removeprefix("x://h?")
    shown = masked(around + text + host).removeprefix(around)
    return shown.removesuffix("h") if host else shown


def _masked_parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals:
        return MASK if _is_key(name) else text
    return f"{name}={MASK}" if value and (_TELLING.search(name) or _is_key(value)) else text


def _is_key(text: str) -> bool:
    return bool(_BOT.fullmatch(text) or (_RANDOM.fullmatch(text) and not _is_words(text)))


def _is_words(text: str) -> bool:
    """Whether it reads as words, numbers or dates between marks: no piece mixes letters and digits."""
    pieces = re.split(r"[-_.~:%=+]", text)
    return all(re.fullmatch(r"[A-Za-z]{0,20}|\d{1,8}(?:T\d{1,6})?Z?|v\d{1,3}", one) for one in pieces)
