"""The process that sends one alert by Apprise: an Order on standard input, the outcome as exit code (services.py)."""

from __future__ import annotations

import logging
import sys

import msgspec

from openclaw_nats.alerts.services import Order


def main() -> int:
    """0: done; 2: the address is not understood; 3: Apprise is missing; 4: the service did not take it."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    logging.disable(logging.CRITICAL)
    try:
        import apprise
    except ImportError:
        return 3
    notifier = apprise.Apprise()
    if not notifier.add(order.url):
        return 2
    if order.body is None:
        return 0
    return 0 if notifier.notify(body=order.body, title=order.title, body_format=apprise.NotifyFormat.TEXT) else 4


if __name__ == "__main__":
    sys.exit(main())
