"""Text that others wrote: as long as it may be, without HTML and half characters, and what it is known by."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser

_BLOCKS = frozenset("p div br li ul ol tr table h1 h2 h3 h4 h5 h6 blockquote pre section article header footer".split())
_HIDDEN = frozenset("script style head title template noscript".split())
_SPACE = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\n{3,}")


class _Text(HTMLParser):
    def __init__(self, most: int) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._room = most
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden and self._room > 0:
            self.parts.append(data[: self._room])
            self._room -= len(data)


def text_of(html: str, most: int) -> str:
    """At most about `most` characters of its text."""
    reader = _Text(most)
    reader.feed(html[: 20 * most + 10_000])
    reader.close()
    return tidy("".join(reader.parts))


def tidy(text: str) -> str:
    """A text with single spaces, and at most one empty line in a row."""
    lines = "\n".join(_SPACE.sub(" ", one).strip() for one in text.splitlines())
    return _LINES.sub("\n\n", lines).strip()


def shortened(text: str, most: int) -> str:
    """A text that others wrote: without half characters, and no longer than `most`."""
    whole = text[: most + 1].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole if len(whole) <= most else whole[: most - 1] + "…"


def digest(*parts: str | bytes) -> str:
    """What a thing with a long or hostile name is known by."""
    made = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        made.update(len(data).to_bytes(8) + data)
    return made.hexdigest()[:32]
