"""The house's side of `openclaw-nats receive` on another machine: where the sidecar hears it.

It is a second connection, to a user of the account that the link from there ends in (contrib/receive). That account has
no JetStream, and nobody else is in it: whoever holds the other machine is heard on `key.<name>.>`, and that is all.
"""

from __future__ import annotations

from openclaw_nats.errors import SettingsError
from openclaw_nats.jetstream.options import Options
from openclaw_nats.keys.making import check_name
from openclaw_nats.settings import Settings

INBOX = "_INBOX_door"


def listens_with(settings: Settings) -> Options | None:
    """The second connection; None without a receiver. Raises SettingsError for a part of its settings."""
    one = settings.receiver
    if not one.key:
        return None
    check_name(one.key)
    password = settings.receiver_password()
    missing = {"url": one.url, "user": one.user, "password_file": password}
    if names := ", ".join(f"receiver.{name}" for name, value in missing.items() if not value):
        raise SettingsError(
            f"receiver.key names a receiver, and to hear it these are missing: {names}",
            hint="docs/how-to/receive.md shows all of it. `openclaw-nats config set receiver.key ''` ends it.",
        )
    return Options(
        servers=tuple(part.strip() for part in one.url.split(",")),
        user=one.user,
        password=password,
        tls_ca_file=settings.nats.tls_ca_file,
        inbox_prefix=INBOX,
    )
