"""What every scheme takes and gives."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from openclaw_nats.contract.sources import GenericOptions, SourceOptions

TOLERANCE_SECONDS = 300.0
_REMEMBER_SECONDS = 3600.0  # beyond the time for which a signature verifies: clocks are put right
FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1000
_raw = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Refused(Exception):
    """A request that is not proven to be the provider's; the text is for the operator, never for whoever sent it."""


@dataclass(frozen=True)
class Received:
    """A request as it came. `headers` by names in lower case; `url` is the address as the provider knows it, with its
    query; `now` in seconds since the Unix epoch. Times are only compared with it.
    """

    headers: Mapping[str, str]
    body: bytes
    url: str = ""
    now: float = 0.0

    def header(self, name: str) -> str:
        """A header that has to be there, once; raise Refused."""
        if not (value := self.headers.get(name.lower(), "").strip()):
            raise Refused(f"the header {name} is missing")
        return value

    @cached_property
    def kind(self) -> str:
        """The media type, in lower case; empty without one."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form, in their order; empty for another content."""
        if self.kind != FORM:
            return []
        try:
            text = self.body.decode("ascii")
            return parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
        except ValueError:
            raise Refused("the form can't be read") from None

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The top level of a JSON object, or a form's fields; empty for another content. Read after it was verified."""
        body = self.body
        if self.kind == FORM:
            try:
                form = dict(self.form)
            except Refused:
                return {}
            if form.keys() != {"payload"}:
                return form
            body = form["payload"].encode()  # JSON in a form, as GitHub and Slack send it
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def _top(self) -> dict[str, msgspec.Raw] | None:
        """The top level of a JSON object, its values not read yet; None for what is to be read otherwise."""
        if self.kind == FORM:
            return None
        try:
            return _raw.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    def text(self, *path: str) -> str:
        """A text or number in `fields`, by its path; empty without one."""
        value: Any = self._top if self._top is not None else self.fields
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
            if isinstance(value, msgspec.Raw):
                value = _value(value)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _value(raw: msgspec.Raw) -> Any:
    try:
        return json.loads(bytes(raw))
    except (ValueError, RecursionError):
        return None


@dataclass(frozen=True)
class Verified:
    """A request that is the provider's.

    `event` is the provider's name for what happened, tokens with dots between. `delivery` is its id for this delivery;
    empty without one. `signed` is what proves it, of which the same again is a repetition until `until`. `shared` is
    what of it is really signed, where several deliveries may have that in common: few of them, within a short time.
    With `answer` the request is answered so and is no event.
    """

    event: str = ""
    delivery: str = ""
    signed: bytes = b""
    until: float = float("inf")
    shared: bytes = b""
    answer: bytes | None = None


Verify = Callable[[Received, list[str], SourceOptions], Verified]
Sign = Callable[[bytes, str, SourceOptions, float, str], dict[str, str]]


@dataclass(frozen=True)
class Scheme:
    """One way of proof. `verify` raises Refused. `sign` makes the headers of a request as the provider would:
    of a body, with a secret, at a time, under an id.

    `paste` says where the address goes at the provider; `makes_secret` whether the secret is ours to choose;
    `sample` is a body such as the provider sends, and `sample_headers` come with it. `takes` names the options (of
    `header`, `timestamp_header`, `url`) that it reads.
    """

    name: str
    verify: Verify
    sign: Sign
    paste: str
    makes_secret: bool = False
    needs_url: bool = False
    reads_url: bool = False  # whether a part of the proof is in the address that it came to
    takes: frozenset[str] = frozenset()
    seconds: float = 20.0  # in which the provider wants its answer
    sample: bytes = b'{"hello": "world"}'
    sample_headers: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[str], str] = lambda secret: ""  # why a text is no secret of this scheme
    reply: Callable[[Verified], tuple[int, bytes, str]] | None = None  # status, body, content type for what was stored


def hmac_of(algorithm: str, secret: bytes, *parts: bytes) -> bytes:
    """An HMAC over parts, one behind the other."""
    made = hmac.new(secret, digestmod=algorithm)
    for part in parts:
        made.update(part)
    return made.digest()


def same(given: str | bytes, expected: str | bytes) -> bool:
    """Whether two texts are the same, in a time that does not tell."""
    one, other = (
        text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in (given, expected)
    )
    return hmac.compare_digest(one, other)


def any_of(given: Iterable[str], expected: Iterable[str | bytes]) -> bool:
    """Whether one of what was given is one of what is expected; all are compared."""
    wanted, found = list(expected), False
    for one in given:
        for other in wanted:
            found = same(one, other) or found
    return found


def check_signature(given: Iterable[str], expected: Iterable[str | bytes]) -> None:
    """Raise Refused unless one of what was given is one of what is expected."""
    if not any_of(given, expected):
        raise Refused("the signature is not right")


def fresh(received: Received, text: str, tolerance: float = TOLERANCE_SECONDS, *, unit: float = 1.0) -> float:
    """Until when a request is to be remembered, by its time in Unix seconds (times `unit`), as text.

    Raise Refused for a time too far from now, or none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        raise Refused("the timestamp is none")
    at = int(text) * unit
    if abs(received.now - at) > tolerance:
        ago = round(received.now - at)
        raise Refused(f"the timestamp is {abs(ago)} s {'old' if ago > 0 else 'ahead'}; the limit is {tolerance:g} s")
    return at + tolerance + _REMEMBER_SECONDS


def digest_of(*parts: bytes) -> bytes:
    """What a repetition is known by."""
    made = hashlib.sha256()
    for part in parts:
        made.update(len(part).to_bytes(8) + part)
    return made.digest()


def generic_options(options: SourceOptions) -> GenericOptions:
    """The options of a generic source."""
    return options.generic or GenericOptions(header="x-signature")
