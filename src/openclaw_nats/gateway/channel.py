"""The plugin's channel: the plugin's service holds a connection to the sidecar, takes runs and reports how they end.

The connection is the plugin's: an HTTP answer that never ends, a JSON line an order, an empty line now and then.
Results come back as requests of their own. A plugin that comes again as the same instance (the sidecar was restarted,
say) is sent what is open once more and knows it by its key; a new instance means that the Gateway was restarted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog

from openclaw_nats.contract.plugin import RunResult
from openclaw_nats.errors import DeliveryError, GiveUp, RetryLater, Unavailable
from openclaw_nats.events.ids import uuid7
from openclaw_nats.ports import Parcel, Receipt

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 5.0
GRACE_SECONDS = 15.0
ACCEPT_SECONDS = 60.0
ANSWER_SECONDS = 25.0  # longer than the plugin waits for its connection to the Gateway and for two answers
WAY = "plugin"

_encode = msgspec.json.Encoder().encode


@dataclass
class _Run:
    parcel: Parcel
    order: bytes
    future: asyncio.Future[Receipt]
    accepted: bool = False


class PluginChannel:
    """One plugin at a time; `connected` and `can_run` tell what it can do."""

    def __init__(self, run_timeout: float) -> None:
        self._run_timeout = run_timeout
        self.on_change: Callable[[], None] = lambda: None
        self._runs: dict[str, _Run] = {}
        self._answers: dict[str, asyncio.Future[RunResult]] = {}
        self._orders: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.connected = False
        self.instance = ""
        self.can_run = False
        self.can_wake = False
        self.wraps = ""
        self.since = time.time()
        self._lost = time.monotonic()

    @property
    def away_seconds(self) -> float:
        """For how long no plugin has been connected; 0 when one is."""
        return 0.0 if self.connected else time.monotonic() - self._lost

    async def stream(self, instance: str, *, can_run: bool, can_wake: bool, wraps: str) -> AsyncIterator[bytes]:
        """The orders for a plugin, as long as it stays connected. A newer connection ends an older one."""
        self._orders.put_nowait(None)
        orders = self._orders = asyncio.Queue()
        if instance != self.instance:
            self._fail_open("the Gateway was restarted before the run's end was known", "")
        self.instance, self.can_run, self.can_wake, self.wraps = instance, can_run, can_wake, wraps
        self.connected, self.since = True, time.time()
        log.info("channel.connected", instance=instance, can_run=can_run)
        for run in self._runs.values():
            orders.put_nowait(run.order)
        self.on_change()
        try:
            yield b"\n"
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        order = await orders.get()
                except TimeoutError:
                    yield b"\n"
                    continue
                if order is None:
                    return
                yield order
        finally:
            if orders is self._orders:
                self.connected, self.since, self._lost = False, time.time(), time.monotonic()
                log.info("channel.lost", instance=instance)
                self.on_change()

    def ask_report(self) -> bool:
        """Ask the plugin for a report at once; False when none is connected."""
        if self.connected:
            self._orders.put_nowait(_encode({"op": "report"}) + b"\n")
        return self.connected

    def probe(self, number: str) -> bool:
        """Ask the plugin for a test event with this number; False when none is connected."""
        if self.connected:
            self._orders.put_nowait(_encode({"op": "probe", "id": number}) + b"\n")
        return self.connected

    async def answer_prompt(self, approval: str, decision: str, by: str) -> bool:
        """Answer OpenClaw's own prompt about an approval (its key): whether that counts, or another answer was first.

        Raises Unavailable when nobody can tell: no plugin is connected, or the Gateway does not take answers from it.
        """
        if not self.connected:
            raise Unavailable("the plugin is not connected")
        key = f"answer {uuid7(int(time.time() * 1000))}"
        order = {"op": "answer", "key": key, "approval": approval, "decision": decision, "by": by}
        future = self._answers[key] = asyncio.get_running_loop().create_future()
        self._orders.put_nowait(_encode(order) + b"\n")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                result = await future
        except TimeoutError:
            raise Unavailable(f"the plugin did not say within {ANSWER_SECONDS:g} s what became of it") from None
        finally:
            del self._answers[key]
        if result.status not in ("ok", "late"):
            raise Unavailable(result.error[:300])
        return bool(result.status == "ok")

    async def watch(self) -> None:
        """Until cancelled: give runs up whose plugin has not come back."""
        while True:
            await asyncio.sleep(1.0)
            if self.away_seconds > GRACE_SECONDS:
                self._fail_open("the plugin's connection was lost before the run's end was known", WAY)

    def result(self, result: RunResult) -> bool:
        """Take over what a plugin says of a run; False when nobody waits for it (any more)."""
        answer = self._answers.get(result.key)
        if answer is not None and not answer.done() and result.instance == self.instance:
            answer.set_result(result)
            return True
        run = self._runs.get(result.key)
        if run is None or result.instance != self.instance:
            return False
        if result.status in ("queued", "accepted"):
            run.accepted = True
        if result.status == "queued":
            return True
        if result.status == "accepted":
            if run.parcel.confirm == "accepted" or run.parcel.kind == "wake":
                self._end(run, Receipt(WAY, result.run_id, "accepted"))
            return True
        self._end(run, _outcome(run.parcel, result))
        return True

    async def send(self, parcel: Parcel) -> Receipt:
        """Have the plugin run a parcel; see Sender.send."""
        if not self.connected:
            raise RetryLater("the plugin is not connected", scope="gateway", counts=False)
        run = _Run(parcel, _order(parcel), asyncio.get_running_loop().create_future())
        self._runs[parcel.key] = run
        self._orders.put_nowait(run.order)
        try:
            return await self._end_of(run)
        finally:
            self._runs.pop(parcel.key, None)

    async def _end_of(self, run: _Run) -> Receipt:
        """Wait for the run's acceptance, then for its end. Asked again later, the same key is the same run."""
        try:
            async with asyncio.timeout(min(ACCEPT_SECONDS, self._run_timeout)):
                return await asyncio.shield(run.future)
        except TimeoutError:
            if not run.accepted:
                raise RetryLater(
                    f"the plugin did not take the run within {ACCEPT_SECONDS:g} s: does the Gateway hang?",
                    scope="gateway",
                    counts=False,
                    way=WAY,
                ) from None
        try:
            async with asyncio.timeout(self._run_timeout):
                return await run.future
        except TimeoutError:
            raise RetryLater(
                f"the run has not ended within {self._run_timeout:g} s", scope="delivery", way=WAY
            ) from None

    def announce(self, parcel: Parcel, session: str, seconds: float, *, unseen: bool = False) -> None:
        """Tell the plugin that events of a session (or, with a final *, of sessions that begin so) have a cause.

        With `unseen` nobody waits for the run's end: the plugin finds out when it is over, within that time.
        """
        if self.connected:
            order = {"op": "cause", "session": session, "seconds": seconds, **_cause(parcel)}
            self._orders.put_nowait(_encode(order | ({"unseen": True} if unseen else {})) + b"\n")

    def _fail_open(self, why: str, way: str) -> None:
        for run in list(self._runs.values()):
            self._end(run, RetryLater(why, scope="gateway", counts=False, way=way))

    def _end(self, run: _Run, outcome: Receipt | DeliveryError) -> None:
        if run.future.done():
            return
        if isinstance(outcome, Receipt):
            run.future.set_result(outcome)
        else:
            run.future.set_exception(outcome)


def _outcome(parcel: Parcel, result: RunResult) -> Receipt | DeliveryError:
    if result.status == "ok" or (result.status == "error" and parcel.confirm != "ok"):
        return Receipt(WAY, result.run_id, result.status, result.reply or result.error)
    if result.status == "error":
        return RetryLater(f"the agent's run failed: {result.error}", scope="delivery", rerun=True)
    if result.status == "timeout":
        return GiveUp("the run did not end in time")
    # Why is in words only, which change from release to release: the operator has the route's retries to put it right.
    return RetryLater(f"the Gateway did not take the run: {result.error}", gateway_age=result.uptime)


def _order(parcel: Parcel) -> bytes:
    order: dict[str, Any] = {
        "op": "wake" if parcel.kind == "wake" else "run",
        "key": parcel.key,
        "route": parcel.route,
        "agentId": parcel.agent,
        "sessionKey": session_of(parcel),
        "text": parcel.text,
        "events": parcel.events,
        "trusted": parcel.trusted,
        "instruction": parcel.instruction,
        **_cause(parcel),
    }
    return _encode(order) + b"\n"


def _cause(parcel: Parcel) -> dict[str, Any]:
    """What the plugin stamps the events with that a parcel leads to, and what its run may do."""
    cause: dict[str, Any] = {"dispatch": parcel.dispatch, "hops": parcel.hops}
    if parcel.policy is not None:
        cause["policy"] = parcel.policy
    return {**cause, "traceparent": parcel.traceparent} if parcel.traceparent else cause


def session_of(parcel: Parcel) -> str:
    """The session in which a parcel's run happens: an isolated agent's turn gets one of its own."""
    if parcel.kind == "session":
        return parcel.session
    return (
        parcel.session or f"agent:{parcel.agent}:main"
        if parcel.kind == "wake"
        else f"agent:{parcel.agent}:nats:{parcel.dispatch}"
    )
