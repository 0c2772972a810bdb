"""Secrets in event data are replaced by `[redacted]` before the event is stored.

Two rules: text in a field whose name says that it is secret (`password`, `api_key`, …; numbers stay, since
`totalTokens` is no secret), and text that looks like a known kind of credential wherever it stands. Patterns can miss a
secret: redaction is the second line behind the capture setting, not a promise.
"""

from __future__ import annotations

import re

import msgspec

MASK = "[redacted]"

# Prefixes and shapes are documented by the issuers (OpenAI, Anthropic, GitHub, GitLab, AWS, Slack, Google, Stripe,
# npm, Telegram, JWT in RFC 7519, PEM in RFC 7468).
_VALUE_PATTERNS = (
    r"\bsk-[A-Za-z0-9_\-]{16,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bglpat-[A-Za-z0-9_\-]{16,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}",
    r"\bAIza[A-Za-z0-9_\-]{30,}",
    r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",
    r"\bnpm_[A-Za-z0-9]{30,}",
    r"\b\d{8,12}:AA[A-Za-z0-9_\-]{32,}",
    # From the start of a run of its characters: tried at each `eyJ` within one, its cost would be the run's square.
    r"(?<![A-Za-z0-9_\-])(?=[A-Za-z0-9_\-]*?\beyJ)[A-Za-z0-9_\-]{11,}+\.eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}+",
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)",
    r"(?i:\b(?:bearer|basic))\s++[A-Za-z0-9_\-.~+/]{12,}=*",
    r"(?i:\b(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token))\s*+[=:]\s*+[^\s\"'&,;]{4,}",
    r"(?<=://)[^\s/:@\"]{1,64}:[^\s/@\"]{1,128}(?=@)",
)
_KEY_WORDS = (
    "password passwd passphrase pwd secret secrets token tokens apikey authorization cookie cookies credential "
    "credentials privatekey accesskey clientsecret accesstoken refreshtoken idtoken authtoken bottoken bearer "
    "sessiontoken hooktoken secretkey signingkey encryptionkey setcookie xapikey proxyauthorization pairingcode otp"
).split()


# Every built-in rule needs one of these (in lower case), or an escape that hides one. Looking for plain words in
# lowered bytes costs 3 µs; the patterns themselves cost 60.
_HINTS = re.compile(
    b"|".join(
        re.escape(hint.encode())
        for hint in (
            "pass pwd secret token key auth cookie credential bearer otp pairing "
            "sk- sk_ rk_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- akia asia xox aiza npm_ :aa eyj -----begin basic ://"
        ).split()
    )
    + rb"|\\u"
)


# Strings, with the colon that makes one a key, and brackets of valid JSON.
_TOKEN = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"(\s*:)?|[\[\]{}]', re.DOTALL)
_BUILT_IN = re.compile("|".join(f"(?:{pattern})" for pattern in _VALUE_PATTERNS))
_MASKED = msgspec.json.encode(MASK)


class Redactor:
    """Masks secrets in JSON data; `redact` is a no-op on data without any.

    It goes through the text of the JSON, so that numbers stay as they are written and nesting costs no stack. The
    built-in patterns take time that grows with the text's length alone (held by a test); those of the operator may not:
    with any, `bounded` asks for a process with a limit of time (redaction_process.py).
    """

    def __init__(self, *, patterns: tuple[str, ...] = (), keys: tuple[str, ...] = ()) -> None:
        self.patterns = patterns
        self.keys = keys
        # Each of the operator's stands alone: it may have flags, names and numbers of groups of its own.
        self._values = (_BUILT_IN, *map(re.compile, patterns))
        self._keys = frozenset(_KEY_WORDS) | {_squeeze(key) for key in keys}
        # With patterns or keys of the operator's own, every event has to be looked at in full.
        self._always = bool(patterns or keys)

    def concerns(self, data: bytes) -> bool:
        """Whether there may be a secret in the data: the quick look."""
        return bool(data) and data not in (b"null", b"{}") and (self._always or _suspicious(data))

    def redact(self, data: bytes) -> bytes:
        """Return JSON `data` with its secrets masked; the very same bytes when there are none."""
        return self._masked(data) if self.concerns(data) else data

    def _masked(self, data: bytes) -> bytes:
        parts: list[bytes] = []
        done, depth = 0, 0
        secret = False  # whether the value that comes next has a secret name
        secret_lists: list[int] = []  # the depths of open lists with a secret name
        for token in _TOKEN.finditer(data):
            begin = data[token.start()]
            if begin == 0x22 and token[2] is not None:
                secret = _squeeze(_text_of(token[1])) in self._keys
                continue
            if begin == 0x22:
                whole = secret or (bool(secret_lists) and secret_lists[-1] == depth)
                new = self._mask_string(token[1], whole=whole)
                if new is not None:
                    parts += [data[done : token.start()], new]
                    done = token.end()
            elif begin in b"[{":
                depth += 1
                if secret and begin == 0x5B:
                    secret_lists.append(depth)
            else:
                if secret_lists and secret_lists[-1] == depth:
                    secret_lists.pop()
                depth -= 1
            secret = False
        return b"".join([*parts, data[done:]]) if parts else data

    def _mask_string(self, raw: bytes, *, whole: bool) -> bytes | None:
        """The JSON of a string with its secrets masked; None when it has none."""
        if whole:
            return _MASKED if raw and raw != MASK.encode() else None
        text = _text_of(raw)
        masked = text
        for pattern in self._values:
            masked = pattern.sub(MASK, masked)
        return None if masked == text else msgspec.json.encode(masked)


def _text_of(raw: bytes) -> str:
    return msgspec.json.decode(b'"' + raw + b'"', type=str) if b"\\" in raw else raw.decode()


def _suspicious(data: bytes) -> bool:
    """Whether the raw JSON holds anything without which no rule can match: the quick way past most events."""
    return _HINTS.search(data.lower()) is not None


def _squeeze(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())
