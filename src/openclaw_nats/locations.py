"""Where things lie under the state directory `$OPENCLAW_STATE_DIR/nats`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openclaw_nats.settings import NATS_NKEY


@dataclass(frozen=True)
class Locations:
    """The files of one installation; several live side by side, each under its own `home`."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    @property
    def api_key(self) -> Path:
        return self.home / "api-key"

    @property
    def hook_token(self) -> Path:
        return self.home / "hook-token"

    @property
    def nats_password(self) -> Path:
        return self.home / "nats-password"

    @property
    def nats_nkey(self) -> Path:
        return self.home / NATS_NKEY

    @property
    def limited_keys(self) -> Path:
        return self.home / "limited-keys.json"

    @property
    def sources(self) -> Path:
        """The sources of webhooks, with their secrets."""
        return self.home / "sources.json"

    @property
    def alerts(self) -> Path:
        """The channels for alerts, with their addresses and secrets."""
        return self.home / "alerts.json"

    @property
    def nats_config(self) -> Path:
        return self.home / "nats-server.conf"

    @property
    def own_nats_config(self) -> Path | None:
        """The configuration of the nats-server that we run, as a process or in a container; None without one."""
        places = (self.nats_config, self.home / "docker" / self.nats_config.name)
        return next((path for path in places if path.is_file()), None)

    @property
    def jetstream(self) -> Path:
        return self.home / "jetstream"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def event_index(self) -> Path:
        """The index of the stream, which is made again when it is not there."""
        return self.home / "events.db"

    @property
    def lock(self) -> Path:
        return self.home / "run" / "up.lock"

    @property
    def socket(self) -> Path:
        return self.home / "run" / "sidecar.sock"

    @property
    def state(self) -> Path:
        return self.home / "run" / "up.json"

    @property
    def restart(self) -> Path:
        return self.home / "run" / "restart"

    @property
    def setup_record(self) -> Path:
        return self.home / "setup.json"

    @property
    def openclaw_backup(self) -> Path:
        return self.home / "openclaw.json.before"

    @property
    def plugin_settings(self) -> Path:
        return self.home / "plugin.json"

    @property
    def staged_plugin(self) -> Path:
        return self.home / "plugin"

    @property
    def undo(self) -> Path:
        return self.home / "setup-undo"
