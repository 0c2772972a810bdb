"""Secrets in event data are replaced by `[redacted]` before the event is stored.

Two rules: text in a field whose name says that it is secret (`password`, `api_key`, …; numbers stay, since
`totalTokens` is no secret), and text that looks like a known kind of credential wherever it stands. Patterns can miss a
secret: redaction is the second line behind the capture setting, not a promise.
"""

from __future__ import annotations

import re
from typing import Any

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
    r"\b\d{8,12}:[A-Za-z0-9_\-]{34,}",
    r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?i:\b(?:bearer|basic))\s+[A-Za-z0-9_\-.~+/]{12,}=*",
    r"(?i:\b(?:password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token))\s*[=:]\s*[^\s\"'&,;]{4,}",
    r"(?<=://)[^\s/:@\"]{1,64}:[^\s/@\"]{1,128}(?=@)",
)
_KEY_WORDS = (
    "password passwd passphrase pwd secret secrets token tokens apikey authorization cookie cookies credential "
    "credentials privatekey accesskey clientsecret accesstoken refreshtoken idtoken authtoken bottoken bearer "
    "sessiontoken hooktoken secretkey signingkey encryptionkey setcookie xapikey proxyauthorization pairingcode otp"
).split()


class Redactor:
    """Masks secrets in JSON data; `redact` is a no-op on data without any."""

    def __init__(self, *, patterns: tuple[str, ...] = (), keys: tuple[str, ...] = ()) -> None:
        self._values = re.compile("|".join(f"(?:{pattern})" for pattern in (*_VALUE_PATTERNS, *patterns)))
        self._keys = frozenset(_KEY_WORDS) | {_squeeze(key) for key in keys}
        letters = "|".join(sorted({re.escape(key) for key in self._keys}, key=len, reverse=True))
        # Over the raw JSON, to leave most events alone: a key that may be secret, or an escape that could hide one.
        self._maybe_key = re.compile(
            rf'"[^"\\]{{0,40}}(?:{letters}|key|token|secret)[^"\\]{{0,12}}"\s*:|\\u'.encode(), re.IGNORECASE
        )

    def redact(self, data: bytes) -> bytes:
        """Return JSON `data` with its secrets masked; the very same bytes when there are none."""
        if not data or data in (b"null", b"{}"):
            return data
        if not self._maybe_key.search(data) and not self._values.search(data.decode("utf-8", "replace")):
            return data
        value = msgspec.json.decode(data)
        masked = self._walk(value)
        return data if masked == value else msgspec.json.encode(masked)

    def redact_text(self, text: str) -> str:
        """Return `text` with everything masked that looks like a credential."""
        return self._values.sub(MASK, text)

    def _walk(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._values.sub(MASK, value)
        if isinstance(value, list):
            return [self._walk(item) for item in value]
        if isinstance(value, dict):
            return {key: self._mask_field(key, item) for key, item in value.items()}
        return value

    def _mask_field(self, key: str, value: Any) -> Any:
        if _squeeze(key) not in self._keys:
            return self._walk(value)
        if isinstance(value, str):
            return MASK if value else value
        if isinstance(value, list):
            return [MASK if isinstance(item, str) and item else self._walk(item) for item in value]
        return self._walk(value)


def _squeeze(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())
