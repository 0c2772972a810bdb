"""Whether the Gateway answers: its `/healthz`, asked again and again."""

from __future__ import annotations

import asyncio
import os
import time
from urllib.parse import urlsplit

import aiohttp

from openclaw_nats.gateway import tls
from openclaw_nats.url_secrets import masked

PROBE_SECONDS = 10.0
_AGAIN_SECONDS = 2.0  # while it does not answer
_TIMEOUT_SECONDS = 3.0


class GatewayProbe:
    """Asks the Gateway's `/healthz` every PROBE_SECONDS."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._shown = masked(url)
        self.reachable = False
        self.since = time.time()
        self.last_error = "not asked yet"

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(PROBE_SECONDS if self.reachable else _AGAIN_SECONDS)

    async def refresh(self) -> None:
        """Ask once, now."""
        error = await self._probe()
        if (not error) != self.reachable:
            self.reachable, self.since = not error, time.time()
        self.last_error = error

    async def _probe(self) -> str:
        """What is wrong, in words; empty when it answers, be it that it wants to know who asks (4xx).

        Only the answer's head is read, and no redirection followed: what answers may be anything.
        """
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                status = await self._status()
        except TimeoutError:
            return f"{self._shown} did not answer within {_TIMEOUT_SECONDS:g} s"
        except OSError as error:  # aiohttp's errors of connecting among them
            return f"{self._shown}: {os.strerror(error.errno).lower() if error.errno else error}"
        except (aiohttp.InvalidURL, ValueError) as error:
            return f"{self._shown}: {error}"
        except aiohttp.ClientError:
            return f"{self._shown}/healthz answered no HTTP"
        return "" if status // 100 in (2, 4) else f"{self._shown}/healthz answered {status}"

    async def _status(self) -> int:
        parts = urlsplit(self._url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/healthz"
        connector = aiohttp.TCPConnector(ssl=tls.unchecked() if parts.scheme == "https" else True, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            return answer.status
