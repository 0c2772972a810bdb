"""Keeps what Home Assistant is shown: the sidecar is an MQTT client of its own nats-server, with a user of its own.

Whatever fails here is said in the health report, tried again, and costs the sidecar nothing else. Messages are
retained, so that Home Assistant finds them whenever it comes; what is no longer to be there is emptied, also after a
restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from openclaw_nats.errors import Unavailable, words_for
from openclaw_nats.mqtt.discovery import OFFLINE, ONLINE, Discovery
from openclaw_nats.mqtt.users import DISCOVERY, MqttUser

if TYPE_CHECKING:
    import aiomqtt

log = structlog.get_logger(__name__)

INSTALL = "Home Assistant is shown nothing: run `pip install 'openclaw-nats[mqtt]'`, then `openclaw-nats restart`"
# Home Assistant says here that it has started: https://www.home-assistant.io/integrations/mqtt/#birth-and-last-will-messages
BIRTH = f"{DISCOVERY}/status"
_LOOK_SECONDS = 1.0
_SWEEP_SECONDS = 2.0  # without another message: then all that was retained has come
_MOST_SWEPT = 2000
# When it is looked again for what an earlier run has left, in seconds after the connection: a nats-server that has just
# started tells of what it retains only when it has read it.
_AGAIN = (5.0, 30.0, 120.0)
_TIMEOUT = 5.0
_PAUSES = (0.5, 1.0, 2.0, 5.0, 15.0)
_HEALTHY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where nats-server speaks MQTT; `certificate` is its own, when it speaks TLS."""

    host: str
    port: int
    certificate: str = ""


class HomeAssistant:
    """The task. `wanted` gives the messages that are to be there, by topic; `may_connect` whether nats-server is ours.

    Without `shown` it only empties what an earlier run has left, and calls `emptied` when that is done.
    """

    def __init__(
        self,
        address: Address,
        user: MqttUser,
        discovery: Discovery,
        wanted: Callable[[], Awaitable[dict[str, str]]],
        may_connect: Callable[[], bool],
        *,
        shown: bool,
        emptied: Callable[[], Awaitable[None]],
    ) -> None:
        self._address = address
        self._user = user
        self._discovery = discovery
        self._wanted = wanted
        self._may_connect = may_connect
        self.shown = shown
        self._emptied = emptied
        self._sent: dict[str, str] = {}
        self.connected = False
        self.last_error = "not connected yet"

    @property
    def entities(self) -> int:
        """How many entities Home Assistant finds."""
        return sum(1 for topic, text in self._sent.items() if topic.endswith("/config") and text)

    async def run(self) -> None:
        """Until cancelled; when there was only something to empty, and that is done, it rests."""
        try:
            import aiomqtt
        except ImportError:
            self.last_error = INSTALL
            await asyncio.Event().wait()
            return
        loop, attempt = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            try:
                if not self._may_connect():
                    self.last_error = "NATS is not reachable"
                elif await self._serve():
                    await asyncio.Event().wait()
            except (aiomqtt.MqttError, Unavailable, OSError, ValueError, TimeoutError) as error:
                if (text := words_for(error)) != self.last_error:
                    log.warning("home_assistant.away", error=text)
                self.last_error = text
            finally:
                self.connected = False
            attempt = 0 if loop.time() - began > _HEALTHY_SECONDS else attempt + 1
            await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])

    async def _serve(self) -> bool:
        """As long as the connection lasts; True when nothing is left to do."""
        import aiomqtt

        async with aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._user.name,
            password=self._user.password,
            identifier=f"openclaw-nats-{secrets.token_hex(8)}",  # who uses another's is that client from then on
            protocol=aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(self._discovery.available, OFFLINE, qos=1, retain=True),
            keepalive=20,
            timeout=_TIMEOUT,
            max_queued_incoming_messages=_MOST_SWEPT,
            tls_context=_context(self._address.certificate),
        ) as client:
            log.info("home_assistant.connected", host=self._address.host, port=self._address.port)
            self._sent = {}
            await self._sweep(client)
            self.connected, self.last_error = True, ""
            if self.shown:
                await self._follow(client)
            await self._put(client, {self._discovery.available: ""})
        await self._emptied()
        return True

    async def _sweep(self, client: aiomqtt.Client) -> None:
        """Have everything sent again, and what is there and is not wanted emptied.

        Who subscribed before nats-server had read what it retains was told nothing of it.
        """
        self._sent = dict.fromkeys(await self._there(client) | self._sent.keys(), "?")

    async def _there(self, client: aiomqtt.Client) -> set[str]:
        """The topics on which an earlier run has left something."""
        found: set[str] = set()
        for one in self._discovery.filters:
            await client.subscribe(one, qos=0)
        messages = aiter(client.messages)
        with contextlib.suppress(TimeoutError):
            while len(found) < _MOST_SWEPT:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    message = await anext(messages)
                if message.retain and message.payload:
                    found.add(str(message.topic))
        for one in self._discovery.filters:
            await client.unsubscribe(one)
        return found - {self._discovery.available}

    async def _follow(self, client: aiomqtt.Client) -> None:
        import aiomqtt

        loop, messages = asyncio.get_running_loop(), aiter(client.messages)
        sweeps = [loop.time() + seconds for seconds in _AGAIN]
        await client.subscribe(BIRTH, qos=0)
        try:
            while True:
                if sweeps and loop.time() >= sweeps[0]:
                    del sweeps[0]
                    await self._sweep(client)
                began = loop.time()
                await self._put(client, await self._wanted() | {self._discovery.available: ONLINE})
                pause = max(_LOOK_SECONDS, 20 * (loop.time() - began))  # looking costs 5 % at most
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        while True:
                            message = await anext(messages)  # it raises when the connection ends
                            if message.topic.value == BIRTH and message.payload == ONLINE.encode():
                                self._sent = dict.fromkeys(self._sent, "?")
        finally:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                await client.publish(self._discovery.available, OFFLINE, qos=1, retain=True, timeout=1)

    async def _put(self, client: aiomqtt.Client, wanted: dict[str, str]) -> None:
        """Publish what has changed, and empty what is not to be there."""
        for topic, text in wanted.items():
            if self._sent.get(topic) != text:
                await client.publish(topic, text, retain=True)  # QoS 0: whatever is lost with a connection comes again
                self._sent[topic] = text
        for topic in [one for one in self._sent if one not in wanted]:
            above, _, what = topic.rpartition("/")
            if what in ("result", "result_of") and f"{above}/turns" in wanted:
                continue  # the last result stays, although it is longer ago than what is looked at
            await client.publish(topic, b"", retain=True)
            del self._sent[topic]


def _context(certificate: str) -> ssl.SSLContext | None:
    """TLS to a server that has exactly this certificate."""
    if not certificate:
        return None
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
