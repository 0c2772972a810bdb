"""nats-py's client, made proof against what others publish.

nats-server stores headers and subjects of any bytes. nats-py raises on some of them inside its read loop, which then
ends without a word: every later answer is lost, and the stream hands out the same message again after each reconnect.
"""

from __future__ import annotations

from typing import Any

from nats.aio.client import Client

from openclaw_nats.events.modes import TWICE

MAX_HEADERS = 64 << 10  # bytes; JetStream stores no more, and what is larger is not parsed
OVERSIZE = "headers too large"  # among headers, alone: how many bytes there were; no client can write this one


class SturdyClient(Client):
    """A client to which no message is an error: headers that can't be read are as if there were none."""

    largest = 0  # bytes of the largest message without headers that was sent over this connection

    pongs = 0  # how often the server has answered a ping

    async def _process_pong(self) -> None:
        self.pongs += 1
        await super()._process_pong()

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """See Client.publish."""
        self.largest = max(self.largest, len(payload))
        await super().publish(subject, payload, reply, headers)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        if headers and len(headers) > MAX_HEADERS:
            return {OVERSIZE: str(len(headers))}
        try:
            return await super()._process_headers(headers)
        except Exception:  # whatever it is, the connection has to go on
            return None

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        """The headers; of one that appears twice the last counts, and a CloudEvents attribute is noted as TWICE."""
        found = Client._parse_header_lines(raw)
        seen: set[bytes] = set()
        for line in raw.split(b"\r\n"):
            name = line.partition(b":")[0].strip().lower()
            if name.startswith(b"ce-"):
                if name in seen:
                    found[TWICE] = name.decode("utf-8", "replace")
                    break
                seen.add(name)
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        return super()._build_message(sid, _readable(subject), _readable(reply), data, headers)


def _readable(subject: bytes) -> bytes:
    return subject if subject.isascii() else subject.decode("utf-8", "replace").encode()
