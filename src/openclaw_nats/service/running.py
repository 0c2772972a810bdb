"""The sidecar while it runs: its HTTP application, the tasks next to it, and what is closed after them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from openclaw_nats.api.auth import Authority
from openclaw_nats.api.hot_path import HotPath
from openclaw_nats.fleet.lease import Lease
from openclaw_nats.service.tasks import keep_running
from openclaw_nats.service.tls import Certificate

Work = Callable[[], Awaitable[None]]


@dataclass
class Sidecar:
    """`runs` are the tasks by name, `closes` what ends after them, in this order."""

    app: HotPath
    lease: Lease
    authority: Authority
    certificate: Certificate | None
    runs: dict[str, Work]
    closes: list[Work]
    task_errors: dict[str, str]

    async def run_tasks(self) -> None:
        """Run every task until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for name, run in self.runs.items():
                    group.create_task(keep_running(name, run, self.task_errors), name=name)
        finally:
            for close in self.closes:
                await close()
