"""Watchers in tests: made over the API, with what they have stored."""

from __future__ import annotations

from typing import Any

from tests.support.processes import Sidecar, wait_until


def watch(sidecar: Sidecar, name: str, kind: str, **options: Any) -> None:
    """Make a watcher, and wait until it has had its first look."""
    secret = options.pop("secret", "")
    more = {"header": options.pop("header")} if "header" in options else {}
    body = {"name": name, "type": kind, "secret": secret, "options": {kind: options, **more}}
    status, answer = sidecar.call("POST", "/api/sources", body)
    assert status == 201, answer
    runs(sidecar, name)


def runs(sidecar: Sidecar, name: str, state: str = "running") -> dict[str, Any]:
    """Wait until a watcher is in a state; how it does then."""

    def there() -> Any:
        found = sidecar.get(f"/api/sources/{name}")[1]
        return found if found.get("watching", {}).get("state") == state else None

    found: dict[str, Any] = wait_until(there, 30, f"{name} to be {state}")
    return dict(found["watching"])


def stored(sidecar: Sidecar, name: str, event: str = "*") -> list[dict[str, Any]]:
    """The events of a watcher in the stream, oldest first."""
    return sidecar.events(f"?subject=agent.events.watch.{name}.{event}&limit=10000")


def awaited(sidecar: Sidecar, name: str, count: int, event: str = "*", seconds: float = 30) -> list[dict[str, Any]]:
    """Wait for so many events of a watcher."""
    wait_until(lambda: len(stored(sidecar, name, event)) >= count, seconds, f"{count} events of {name}")
    return stored(sidecar, name, event)
