"""The port LeaseStore: one message in the stream `agent_leases`, written on the condition of its last sequence."""

from __future__ import annotations

from openclaw_nats.errors import Conflict, StreamConflict
from openclaw_nats.jetstream.connection import Connection, checked, parse_reply
from openclaw_nats.jetstream.gateway_names import token_of
from openclaw_nats.jetstream.reading import last_on, read_stream
from openclaw_nats.jetstream.streams import LEASES, Streams

_WRONG_SEQUENCE = 10071


class JetStreamLeaseStore:
    """The lease of one gateway.id."""

    def __init__(self, connection: Connection, streams: Streams, gateway_id: str) -> None:
        self._connection = connection
        self._streams = streams
        self._subject = f"agent.leases.{token_of(gateway_id)}"

    async def read(self) -> tuple[int, bytes] | None:
        """See LeaseStore.read."""
        self._check()
        found = await last_on(self._connection, LEASES, self._subject)
        return (found.sequence, found.body) if found is not None else None

    async def write(self, body: bytes, revision: int) -> int:
        """See LeaseStore.write."""
        self._check()
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        answer = parse_reply(await self._connection.request(self._subject, body, headers))
        if answer.get("error", {}).get("err_code") == _WRONG_SEQUENCE:
            raise Conflict("somebody else wrote the lease at the same moment")
        return int(checked(answer)["seq"])

    async def of(self, gateway_id: str) -> tuple[float, bytes] | None:
        """The lease of another gateway.id: when it was written (the stream's clock, seconds), and what it says."""
        self._check()
        found = await last_on(self._connection, LEASES, f"agent.leases.{token_of(gateway_id)}")
        return (found.time / 1e9, found.body) if found is not None else None

    async def every(self) -> list[bytes]:
        """What all leases on this NATS say."""
        self._check()
        found = read_stream(self._connection, LEASES, "agent.leases.*", replaced=True)
        return [message.body async for message in found if message is not None]

    def _check(self) -> None:
        if not self._connection.ready:
            raise self._connection.not_ready(self._streams.problem)
        if self._streams.leases_problem:
            raise StreamConflict(self._streams.leases_problem)
