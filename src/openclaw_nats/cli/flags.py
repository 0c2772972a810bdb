"""What the API calls a field, a command calls by its flag or argument: errors speak the language of whoever asked."""

from __future__ import annotations

import re
from collections.abc import Mapping

ROUTE = {
    "name": "NAME",
    "pattern": "PATTERN",
    "target": "TARGET",
    "instruction": "--instruction",
    "when": "--when",
    "template": "--template",
    "payload": "--payload",
    "priority": "--priority",
    "trusted": "--trusted",
    "tools": "--tools",
    "guard": "--guard",
    "expiresAfter": "--expires-after",
    "flow.debounce": "--debounce",
    "flow.batch": "--batch",
    "flow.rate": "--rate",
    "flow.quietHours": "--quiet",
    "flow.budget": "--budget",
    "flow.concurrency": "--concurrency",
}
JOB = {
    "name": "NAME",
    "cron": "EXPRESSION",
    "timezone": "--timezone",
    "subject": "--subject",
    "payload": "--payload",
    "priority": "--priority",
    "missed": "--missed",
    "wake": "--wake",
    "instruction": "--instruction",
}
SOURCE = {
    "name": "NAME",
    "type": "--type",
    "secret": "--secret-file",
    "subject": "--subject",
    "options.header": "--header",
    "options.timestampHeader": "--timestamp-header",
    "options.url": "--url",
    "options.generic": "--signature",
}
ALERT = {
    "name": "NAME",
    "to": "--to",
    "secret": "--secret-file",
    "format": "--format",
    "window": "--window",
    "again": "--again",
    "quietHours": "--quiet",
    "without": "--without",
}
EXPECTATION = {
    "name": "NAME",
    "by": "--by",
    "after": "--after",
    "before": "--before",
    "within": "--within",
    "key": "--key",
    "every": "--every",
    "cron": "--cron",
    "timezone": "--timezone",
    "grace": "--grace",
    "lookback": "--lookback",
    "spools": "--spools",
}
_WATCHED = {
    "files": ("path", "pattern", "settle", "every"),
    "http": ("url", "jsonPath", "every"),
    "command": ("command", "every"),
    "feed": ("url", "every"),
    "mail": ("host", "user", "port", "tls", "mailbox", "every"),
    "calendar": ("url", "path", "before", "every"),
}
SOURCE |= {
    f"options.{kind}.{field}": "--" + re.sub("([A-Z])", r"-\1", field).lower()
    for kind, fields in _WATCHED.items()
    for field in fields
}
TIMER = {
    "name": "NAME",
    "delay": "WHEN",
    "at": "WHEN",
    "subject": "--subject",
    "payload": "--payload",
    "priority": "--priority",
    "wake": "--wake",
    "instruction": "--instruction",
}


def in_flags(message: str, field: str, flags: Mapping[str, str]) -> str:
    """A message about a field, with the name of the flag in place of the field's: `flow.rate.per` is `--rate (per)`.

    A message that does not begin with the field's name gets the flag in front of it.
    """
    known = next((name for name in sorted(flags, key=len, reverse=True) if _within(field, name)), "")
    if not known:
        return message
    rest = field[len(known) :].lstrip(".")
    flag = f"{flags[known]} ({rest})" if rest else flags[known]
    if message.startswith(field):
        return flag + message[len(field) :]
    if message.startswith(known) and not message[len(known) :][:1].isalnum():
        return flags[known] + message[len(known) :]
    return f"{flag}: {message}"


def _within(field: str, name: str) -> bool:
    return field == name or field.startswith((f"{name}.", f"{name}["))
