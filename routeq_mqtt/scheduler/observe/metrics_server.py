"""Serves the metrics over HTTP: one page, no more."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from routeq_mqtt.errors import ConfigurationError
from routeq_mqtt.scheduler.observe.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log: logging.Logger = logging.getLogger(__name__)

_LONGEST_HEAD = 16 * 1024
_WITHIN = 10.0
"""Seconds that a client may take."""

_AT_ONCE = 16


class MetricsServer:
    """``GET /metrics``.

    Args:
        host, port: where to listen; port 0 takes a free one.
        text: makes the page.

    Attributes:
        port: where it listens, once `listening` is set.
    """

    def __init__(self, host: str, port: int, text: Callable[[], Awaitable[str]]) -> None:
        self.listening: asyncio.Event = asyncio.Event()
        self.port: int = port
        self._host = host
        self._text = text
        self._clients = 0

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            ConfigurationError: the address cannot be used.
        """
        try:
            server = await asyncio.start_server(
                self._serve, self._host, self.port, limit=_LONGEST_HEAD
            )
        except OSError as error:
            raise ConfigurationError(
                f"--metrics: cannot listen on {self._host}:{self.port}: {error}; choose another"
            ) from error
        self.port = server.sockets[0].getsockname()[1]
        log.info("metrics on http://%s:%d/metrics", self._host, self.port)
        self.listening.set()
        async with server:
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= _AT_ONCE:
                async with asyncio.timeout(_WITHIN):
                    await self._answer(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it is gone, too slow, or no HTTP
        except Exception:
            log.exception("cannot write metrics")
        finally:
            self._clients -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, _, rest = head.partition(b" ")
        path = rest.split(b" ", 1)[0].split(b"?", 1)[0]
        if method not in {b"GET", b"HEAD"}:
            status, body = "405 Method Not Allowed", "only GET and HEAD\n"
        elif path != b"/metrics":
            status, body = "404 Not Found", "see /metrics\n"
        else:
            status, body = "200 OK", await self._text()
        payload = body.encode()
        kind = CONTENT_TYPE if status.startswith("200") else "text/plain; charset=utf-8"
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(payload)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        if method != b"HEAD":
            writer.write(payload)
        await writer.drain()
