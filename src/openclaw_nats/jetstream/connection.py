"""One connection to NATS that is always either usable or coming back.

A request that is under way when the connection breaks fails at once with Unavailable instead of waiting for its
timeout: the sidecar can then answer 503 and the spool keeps the events.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nkeys import NkeysError

from openclaw_nats.errors import MessageRefused, NoAnswer, NotFound, StreamConflict, Unavailable, words_for
from openclaw_nats.events.seals import Seals
from openclaw_nats.jetstream.client import SturdyClient
from openclaw_nats.jetstream.options import Options
from openclaw_nats.jetstream.payload_limit import PayloadLimit
from openclaw_nats.jetstream.refusals import HINT, Refusals, in_words, may_not

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT = 5.0
_LOOK_SECONDS = 0.2
_BAD_REQUEST = 400  # it is about what was sent, not about how the server is
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


async def _check_server(client: Client, expected: str) -> None:
    """Have the server prove that it is ours before anything is published; raise OSError when it does not.

    An nkey reveals nothing to it, so a program that has NATS' port could accept whatever we sign, and take our events.
    """
    reply = await client.request("$SYS.REQ.USER.INFO", timeout=5)
    try:
        said = json.loads(reply.data)["data"]["permissions"]["publish"]["deny"]
        proven = any(hmac.compare_digest(str(one).encode(), expected.encode()) for one in said)
    except (ValueError, KeyError, TypeError):
        proven = False
    if not proven:
        raise ConnectionRefusedError("what listens there does not prove that it is our nats-server")


class Connection:
    """The link to NATS: `run` keeps it up, `request` uses it, the public attributes tell how it is."""

    def __init__(
        self, options: Options, make: Callable[[], SturdyClient] = SturdyClient, name: str = "openclaw-nats sidecar"
    ) -> None:
        self._options = options
        self._make = make
        self._name = name
        self._client: SturdyClient | None = None
        self._inbox = self.new_inbox()
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._answers: Subscription | None = None
        self._limit = PayloadLimit(self._another)
        self._suspect = 0
        self.refusals = Refusals(options.inbox_prefix)
        self._closed = asyncio.Event()
        self.seals: Seals | None = None  # without it nothing that is read is believed
        self.on_connect: Callable[[], Awaitable[None]] | None = None
        self.serves: dict[str, Callable[[Msg], Awaitable[None]]] = {}  # by subject, heard on each connection
        self.since = time.time()
        self.last_error = ""
        self.ready = False
        self.epoch = 0

    @property
    def connected(self) -> bool:
        """Whether the server can be spoken to at this moment."""
        return self._client is not None and self._client.is_connected

    @property
    def shown(self) -> str:
        """The first server's address, without user and password."""
        return self._options.shown

    @property
    def problem(self) -> str:
        """What went wrong last, in words; empty when nothing has since the connection was made."""
        return in_words(self.last_error)

    def not_ready(self, problem: str) -> Unavailable:
        """The error of whoever needs the streams while they are not ready; `problem` is what is known of them."""
        try:
            self.client  # noqa: B018  (says why, if that is the reason)
        except Unavailable as error:
            return error
        return Unavailable(problem or f"the streams are not ready yet{self.problem and ': '}{self.problem}")

    @property
    def server_version(self) -> str:
        """The server's version, such as `2.15.1`; empty while there was no connection yet."""
        return str(self.server_info.get("version", ""))

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server said about itself when we connected (INFO); empty while there was no connection yet."""
        found: dict[str, Any] = self._client._server_info if self._client else {}
        return found

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of servers that we were given; user and password may stand in them."""
        return self._options.servers

    @property
    def has_domain(self) -> bool:
        """Whether the streams are in another server's JetStream (`nats.domain`)."""
        return bool(self._options.domain)

    @property
    def max_payload(self) -> int:
        """The largest message in bytes that the server takes from this account, headers included."""
        told = int(self._client.max_payload) if self._client else 1024 * 1024
        return min(told, self._limit.bytes or told)

    @property
    def api_prefix(self) -> str:
        """What the subjects of JetStream's API begin with."""
        return self._options.api

    def new_inbox(self) -> str:
        """A subject of our own for answers; subjects below it are ours too."""
        return f"{self._options.inbox_prefix}.{secrets.token_hex(8)}"

    @property
    def client(self) -> Client:
        """The connected client; raise Unavailable when there is none."""
        if self._client is None or not self._client.is_connected:
            raise Unavailable(
                f"NATS at {self._options.shown} is not reachable: {self.last_error or 'connecting'}",
                hint="`openclaw-nats status` shows what is down.",
            )
        return self._client

    async def run(self) -> None:
        """Keep the connection up until cancelled, also when the server refuses us or closes for good."""
        attempt = 0
        while True:
            self._closed.clear()
            try:
                await self._connect()
                attempt = 0
                await self._end()
            except (TimeoutError, NatsError, NkeysError, OSError, ValueError) as error:
                self._note_error(error)
            finally:
                await self._drop()
            await asyncio.sleep(_RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)])
            attempt += 1

    async def _end(self) -> None:
        """Wait until the connection is over. nats-py does not always say so: closing a connection of which the
        transport is gone already fails in the middle, before it would have called anybody.
        """
        while not (self._closed.is_set() or self._client is None or self._client.is_closed):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)

    async def request(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Msg:
        """Publish and return the server's reply; raise Unavailable on no reply, no responder or a lost connection."""
        reply = await self.start_request(subject, body, headers)
        return await self.finish_request(reply)

    async def start_request(self, subject: str, body: bytes, headers: dict[str, str] | None) -> asyncio.Future[Msg]:
        """Send a request and return the future of its reply, so that many can be under way at once."""
        client = self.client
        if self.refusals.hear_again():
            try:
                await self._hear(client)
            except (NatsError, OSError) as error:
                raise Unavailable(f"NATS does not take a subscription: {words_for(error)}") from error
        if self.refusals.deaf:
            raise Unavailable(self.refusals.deaf, hint=HINT)
        token = secrets.token_hex(8)  # every subscriber sees it: the next one must not be known
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiting[token] = subject, future
        future.add_done_callback(lambda _: self._waiting.pop(token, None))
        try:
            await client.publish(subject, body, reply=f"{self._inbox}.{token}", headers=headers)
        except (NatsError, OSError) as error:
            future.cancel()
            raise Unavailable(f"NATS did not take a message: {words_for(error)}") from error
        return future

    async def finish_request(self, future: asyncio.Future[Msg]) -> Msg:
        """Wait for the reply of a started request."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                reply = await future
        except TimeoutError:
            raise NoAnswer(f"NATS did not answer within {REQUEST_TIMEOUT:g} s") from None
        if reply.headers and reply.headers.get("Status") == "503":
            where = f"in the domain {self._options.domain}" if self._options.domain else "at this NATS server"
            behind = "" if self._options.domain else "; behind a leaf node, set nats.domain to where it is"
            raise Unavailable(f"JetStream does not answer: no responders. Is it on {where}?{behind}")
        return reply

    async def ask(self, subject: str, body: bytes, seconds: float, headers: dict[str, str] | None = None) -> bytes:
        """Ask a service and return its answer; raise NotFound when nobody listens, Unavailable when it keeps still."""
        future = await self.start_request(subject, body, headers)
        try:
            async with asyncio.timeout(seconds):
                reply = await future
        except TimeoutError:
            raise Unavailable(f"nobody answered on {subject} within {seconds:g} s") from None
        if reply.headers and reply.headers.get("Status") == "503":
            raise NotFound(f"nobody listens on {subject}", hint="Is that service running, and on this NATS?")
        return bytes(reply.data)

    async def api(self, operation: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call JetStream's API (`$JS.API.<operation>`, or the domain's) and return the answer, `error` included."""
        body = json.dumps(request).encode() if request is not None else b""
        return parse_reply(await self.request(f"{self.api_prefix}.{operation}", body))

    async def publish(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Publish outside of JetStream and return when the server has it; raise Unavailable."""
        client = self.client
        try:
            await client.publish(subject, body, headers=headers)
            await client.flush(timeout=5)
        except (TimeoutError, NatsError, OSError) as error:
            raise Unavailable(f"NATS did not take a message: {words_for(error)}") from error

    async def close(self) -> None:
        """Close the connection for good."""
        await self._drop()

    async def _connect(self) -> None:
        client = self._make()
        try:
            await asyncio.wait_for(
                client.connect(
                    **self._options.arguments(),
                    name=self._name,
                    # nats-py would send what it still holds to whoever answers: each connection begins with the proof.
                    allow_reconnect=not self._options.server_proof,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.5,  # type: ignore[arg-type]
                    connect_timeout=5,
                    ping_interval=5,
                    max_outstanding_pings=2,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                    closed_cb=self._on_closed,
                ),
                timeout=10,
            )
            if self._options.server_proof:
                await _check_server(client, self._options.server_proof)
        except BaseException:
            if not client.is_closed and client.is_connected:
                await client.close()
            if client._transport is not None:
                client._transport.close()  # type: ignore[no-untyped-call]  # nats-py leaves it open when refused
            raise
        self._client, self._answers = client, None
        self.refusals.forget()
        await self._hear(client)
        for subject, serve in self.serves.items():
            await client.subscribe(subject, cb=serve)
        await self._announce()

    async def _hear(self, client: Client) -> None:
        """Subscribe to the answers, also once more after that was refused: a user's permissions may be changed."""
        before, self._answers = self._answers, await client.subscribe(f"{self._inbox}.*", cb=self._on_reply)
        if before is not None:
            await before.unsubscribe()

    async def _announce(self) -> None:
        self.since, self.last_error = time.time(), ""
        self.epoch += 1  # what was asked of the server before is forgotten there
        log.info("nats.connected", server=self._options.shown, version=self.server_version)
        if suspect := self._suspect:
            self._suspect = 0
            await self._limit.suspect(suspect, self.new_inbox())
        if self.on_connect is None:
            self.ready = True
            return
        try:
            await self.on_connect()
            self.ready = True
        except (Unavailable, StreamConflict) as error:
            self._note_error(error)

    async def _drop(self) -> None:
        self._fail_waiting()
        client, self._client, self.ready = self._client, None, False
        if client is not None and not client.is_closed:
            try:
                await asyncio.wait_for(client.close(), 2)
            except (TimeoutError, NatsError, OSError) as error:
                log.debug("nats.close_failed", error=str(error))
        if client is not None and client._transport is not None:
            client._transport.close()  # type: ignore[no-untyped-call]  # one that nats-py gave up halfway keeps it open

    async def _another(self) -> SturdyClient:
        """A connection beside this one, which does not come again when it breaks."""
        client = SturdyClient()

        async def quiet(error: Exception) -> None:
            log.debug("nats.probe", error=words_for(error))

        options = self._options.arguments() | {"allow_reconnect": False, "connect_timeout": 5, "error_cb": quiet}
        await asyncio.wait_for(client.connect(**options), 10)
        return client

    def _fail_waiting(self) -> None:
        if self._client is not None and any(not future.done() for _, future in self._waiting.values()):
            self._suspect, self._client.largest = self._client.largest, 0
        for _, future in list(self._waiting.values()):
            if not future.done():
                error = Unavailable("the connection to NATS broke before it answered")
                error.unknown = True
                future.set_exception(error)

    def _fail_refused(self, refused: str | None) -> None:
        """Requests on a subject that NATS refuses, or all when no answer can come, are not waited for."""
        for subject, future in list(self._waiting.values()):
            if future.done():
                continue
            if self.refusals.deaf:
                future.set_exception(Unavailable(self.refusals.deaf, hint=HINT))
            elif subject.lower() == refused:
                future.set_exception(Unavailable(may_not(subject), retry_after=5, hint=HINT))

    async def _on_reply(self, message: Msg) -> None:
        _, future = self._waiting.get(message.subject.rsplit(".", 1)[1], ("", None))
        if future is not None and not future.done():
            future.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        self._note_error(error, quiet=self.refusals.known(str(error)))
        self._fail_refused(self.refusals.note(str(error)))

    async def _on_disconnect(self) -> None:
        if self.connected or self._client is None:
            return
        self.since = time.time()
        self.ready = False
        self.refusals.forget()
        self.last_error = self.last_error or "the connection was lost"
        self._fail_waiting()
        log.warning("nats.disconnected", error=self.last_error)

    async def _on_reconnect(self) -> None:
        await self._announce()

    async def _on_closed(self) -> None:
        self._closed.set()

    def _note_error(self, error: BaseException, *, quiet: bool = False) -> None:
        text = words_for(error)
        if isinstance(error, ConnectionError) and "uthorization" in self.last_error:
            return  # the server refuses us and closes: the refusal is the news
        if text != self.last_error and not quiet:
            log.warning("nats.error", error=text)
        self.last_error = text


@contextlib.asynccontextmanager
async def connected(options: Options, seconds: float = 5.0) -> AsyncIterator[Connection]:
    """A connection for one piece of work; raise Unavailable, with what NATS said, when there is none in time."""
    connection = Connection(options)
    task = asyncio.create_task(connection.run())
    try:
        deadline = time.monotonic() + seconds
        while not connection.connected and time.monotonic() < deadline:
            if connection.last_error and "uthorization" in connection.last_error:
                break  # it will not change its mind
            await asyncio.sleep(0.05)
        if not connection.connected:
            raise Unavailable(
                f"NATS at {options.shown} can't be used: {connection.last_error or f'no answer within {seconds:g} s'}",
                hint="`openclaw-nats doctor` says whether it runs, listens there and accepts our sign-in.",
            )
        yield connection
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def parse_reply(reply: Msg) -> dict[str, Any]:
    """The JSON of a reply; raise Unavailable when it is none."""
    try:
        answer: dict[str, Any] = json.loads(reply.data)
    except ValueError as error:
        raise Unavailable("JetStream's answer could not be read") from error
    return answer


def checked(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer of JetStream without an error; raise Unavailable for one that does."""
    if "error" in answer:
        error = answer["error"]
        text = f"JetStream refused: {error.get('description')} (error {error.get('err_code')})"
        raise (MessageRefused if error.get("code") == _BAD_REQUEST else Unavailable)(text, retry_after=5)
    return answer
