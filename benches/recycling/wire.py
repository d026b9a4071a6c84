"""One HTTP/1.1 connection, and each way in which it can let its client down.

An asyncio protocol rather than streams: it sees a close when it happens, also while nobody reads,
and takes the time of the first byte where it arrives.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from pathlib import Path
from typing import Any, cast


class Transport(Enum):
    """The transports of exchanges."""

    PLAIN = auto()
    TLS = auto()
    HTTP2 = auto()
    """By ALPN, over TLS."""
    H2C = auto()
    """With prior knowledge, without TLS."""

    @property
    def is_encrypted(self) -> bool:
        """Whether it is TLS."""
        return self in (Transport.TLS, Transport.HTTP2)

    @property
    def is_http2(self) -> bool:
        """Whether it is HTTP/2."""
        return self in (Transport.HTTP2, Transport.H2C)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is, and how it is spoken to."""

    address: tuple[str, int]
    transport: Transport = Transport.PLAIN
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, address: tuple[str, int], transport: Transport, roots: Path | str) -> Endpoint:
        """Return one that trusts these certificates, where there is TLS."""
        if not transport.is_encrypted:
            return cls(address, transport)
        context = ssl.create_default_context(cafile=str(roots))
        context.set_alpn_protocols(["h2" if transport.is_http2 else "http/1.1"])
        return cls(address, transport, context)

    @property
    def over(self) -> dict[str, Any]:
        """The arguments of `create_connection` besides the address."""
        return {"ssl": self.tls, "server_hostname": "localhost"} if self.tls else {}


class Failure(StrEnum):
    """How an exchange went wrong."""

    REFUSED = "refused"
    CLOSED_IDLE = "closed while idle"
    """The server closed a kept-alive or fresh connection without having announced it."""
    UNANSWERED = "unanswered"
    """The connection ended between the request and the first byte of its answer."""
    CUT = "cut short"
    """The connection ended within the answer."""
    STATUS = "status"
    WRONG = "wrong answer"
    LATE = "no answer in time"


class Failed(Exception):
    """An exchange went wrong."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure}: {detail}" if detail else failure)
        self.failure = failure
        self.detail = detail


class Stage(Enum):
    """The stages of an exchange, by the event that the client waits for."""

    IDLE = auto()
    ASKED = auto()
    ANSWERING = auto()


CLOSED = "closed"
"""The end of a connection that is no error of the transport's."""

LET_DOWN = {
    Stage.IDLE: Failure.CLOSED_IDLE,
    Stage.ASKED: Failure.UNANSWERED,
    Stage.ANSWERING: Failure.CUT,
}
"""The meaning of the end of a connection in each stage."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a response."""

    status: int
    text: bytes
    """All of it, in lower case."""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a header; the name in lower case."""
        begin = self.text.find(b"\r\n" + name + b":")
        if begin < 0:
            return None
        begin += len(name) + 3
        return self.text[begin : self.text.index(b"\r\n", begin)].strip()

    @property
    def announces_close(self) -> bool:
        """Whether the server has said that it closes after this response."""
        return self.header(b"connection") == b"close"

    @property
    def pid(self) -> int:
        """The pid of the worker that answers."""
        if (pid := self.header(b"x-pid")) is None:
            raise Failed(Failure.WRONG, "not from the application")
        return int(pid)


class Link(asyncio.Protocol):
    """A connection. One exchange at a time, no pipelining."""

    def __init__(self) -> None:
        self.first_byte_at = 0.0
        """When the answer to the last request began (s, the loop's clock)."""
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._stage = Stage.IDLE
        self._requests = 0
        self._since = self._loop.time()
        """When the connection was opened, or the last request begun (s)."""
        self._ended: str | None = None
        self._ended_at = 0.0
        self._waiter: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Link:
        """Connect; a failure to do so is a failed exchange."""
        loop = asyncio.get_running_loop()
        try:
            _, link = await loop.create_connection(cls, *endpoint.address, **endpoint.over)
        except ConnectionRefusedError:
            raise Failed(Failure.REFUSED) from None
        except OSError as error:
            raise Failed(Failure.UNANSWERED, f"connecting: {type(error).__name__}") from error
        return link

    @property
    def has_been_closed(self) -> bool:
        """Whether the server has closed it in order, with nothing in flight."""
        return self._stage is Stage.IDLE and self._ended == CLOSED

    def send(self, request: bytes) -> None:
        """Send a request, or the beginning of one."""
        self._must_be_open()
        self._requests += 1
        self._since = self._loop.time()
        if self._buffer:
            raise Failed(Failure.WRONG, f"unasked: {bytes(self._buffer[:40])!r}")
        self._stage = Stage.ASKED
        self._transport.write(request)

    def send_more(self, data: bytes) -> None:
        """Send what belongs to the request that has begun."""
        self._must_be_open()
        self._transport.write(data)

    async def head(self) -> Head:
        """Read the head of the answer; any status but 200 and 101 is a failure."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self.more()
        head = Head(int(self._buffer[9:12]), bytes(self._buffer[: end + 2]).lower())
        del self._buffer[: end + 4]
        if head.status not in (200, 101):
            raise Failed(Failure.STATUS, str(head.status))
        return head

    async def whole(self) -> tuple[Head, bytes]:
        """Read an answer with a Content-Length to its end."""
        head = await self.head()
        length = head.header(b"content-length")
        if length is None:
            raise Failed(Failure.WRONG, "no Content-Length")
        body = await self.exactly(int(length))
        self._stage = Stage.IDLE
        return head, body

    async def chunk(self) -> bytes:
        """Read one chunk of a chunked body; empty for the last one, which ends the answer."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self.more()
        length = int(self._buffer[:end], 16)
        data = (await self.exactly(end + 2 + length + 2))[end + 2 : -2]
        if not data:
            self._stage = Stage.IDLE
        return data

    async def exactly(self, length: int) -> bytes:
        """Read so many bytes."""
        while len(self._buffer) < length:
            await self.more()
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    async def more(self) -> None:
        """Wait for bytes beyond those that are there."""
        self._must_be_open()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told by asyncio."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Be told by asyncio."""
        if self._stage is Stage.ASKED:
            self._stage = Stage.ANSWERING
            self.first_byte_at = self._loop.time()
        self._buffer += data
        self._wake()

    def eof_received(self) -> bool:
        """Be told by asyncio."""
        self._end(CLOSED)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Be told by asyncio."""
        self._end(type(error).__name__ if error else CLOSED)

    def _must_be_open(self) -> None:
        if self._ended:
            after = f"{self._ended_at - self._since:.3f} s after request {self._requests} on this connection"
            raise Failed(LET_DOWN[self._stage], f"{self._ended} {after}")

    def _end(self, how: str) -> None:
        if not self._ended:
            self._ended = how
            self._ended_at = self._loop.time()
        self._wake()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)
