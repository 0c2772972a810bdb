"""Webhooks: a POST to the operator's address, signed as Standard Webhooks says (https://www.standardwebhooks.com)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import aiohttp
from standardwebhooks import Webhook

from openclaw_nats.errors import GiveUp, RetryLater, words_for
from openclaw_nats.events import trace
from openclaw_nats.gateway.responses import retry_after
from openclaw_nats.ports import Parcel, Receipt
from openclaw_nats.url_secrets import masked_in

WAY = "webhook"
TIMEOUT_SECONDS = 15.0
ANSWER_SECONDS = 2.0
ANSWER_BYTES = 64 * 1024


class Webhooks:
    """Sends parcels to their addresses; redirects are not followed, so that nothing goes where nobody asked."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, parcel: Parcel) -> Receipt:
        """Deliver one parcel; see Sender.send. Any 2xx is a receipt."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS, sock_connect=5)
        try:
            async with self._session.post(
                parcel.url, data=parcel.text.encode(), headers=_headers(parcel), timeout=timeout, allow_redirects=False
            ) as answer:
                status, headers = answer.status, answer.headers
                await _read_some(answer)
        except TimeoutError:
            raise RetryLater(f"{_host(parcel.url)} did not answer within {TIMEOUT_SECONDS:g} s") from None
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or error.os_error
            raise RetryLater(f"{_host(parcel.url)} can't be reached: {why}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RetryLater(f"{_host(parcel.url)}: {masked_in(words_for(error))}") from None
        if status < 300:
            return Receipt(WAY, "", "accepted")
        text = f"{_host(parcel.url)} answered {status}"
        if status in (408, 425, 429) or status >= 500 or 300 <= status < 400:
            raise RetryLater(text, retry_after=retry_after(headers))
        raise GiveUp(text)


async def _read_some(answer: aiohttp.ClientResponse) -> None:
    """Read a short answer to its end, so that its connection can be used again; a long or slow one is left.

    The status line is the receipt: what comes after it changes nothing, and may be endless.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            left = ANSWER_BYTES
            while left > 0 and (part := await answer.content.read(left)):
                left -= len(part)
            if left > 0:
                return
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        pass
    answer.close()


def _headers(parcel: Parcel) -> dict[str, str]:
    now = datetime.now(UTC)
    headers = {
        "Content-Type": parcel.content_type,
        "User-Agent": "openclaw-nats",
        "webhook-id": parcel.key,
        "webhook-timestamp": str(int(now.timestamp())),
        "openclaw-nats-hops": str(parcel.hops),
    }
    if parcel.traceparent:
        headers[trace.HEADER] = parcel.traceparent
    if parcel.secret:
        headers["webhook-signature"] = Webhook(parcel.secret).sign(parcel.key, now, parcel.text)
    return headers


def _host(url: str) -> str:
    """The address without its path and query, which may hold secrets."""
    return "/".join(url.split("/")[:3]).rpartition("@")[2]
