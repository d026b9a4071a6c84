"""Clients with short exchanges, and what all clients stand on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from recycling.tally import Kind, Tally
from recycling.wire import Endpoint, Failed, Failure, Link

ANSWER_WITHIN_SECONDS = 20.0
"""Longer than any pause that a server could be forgiven; then it counts as never answered."""

AFTER_FAILURE_SECONDS = 0.02
"""A client that failed tries again after this: a dead server is not asked a million times."""

SILENT_SECONDS = 0.5
"""How long a fresh connection says nothing: time for it to be accepted, and then forgotten."""

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
PLAIN = GET % b"/"
CLOSING = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Done:
    """A completed exchange."""

    stall: float
    """Seconds."""
    pid: int | None = None
    announces_close: bool = False


class Field:
    """Where clients are at work: the server and the tally, which says when to end."""

    def __init__(self, endpoint: Endpoint, tally: Tally) -> None:
        self.endpoint = endpoint
        self.tally = tally
        self._loop = asyncio.get_running_loop()

    @property
    def open(self) -> bool:
        """Whether another exchange may begin."""
        return self._loop.time() < self.tally.ends

    @property
    def remaining(self) -> float:
        """Seconds to the end."""
        return max(0.0, self.tally.ends - self._loop.time())

    def now(self) -> float:
        """Return the time (s) on the loop's clock."""
        return self._loop.time()

    async def attempt(
        self, kind: Kind, exchange: Awaitable[Done], within: float = ANSWER_WITHIN_SECONDS
    ) -> Done | None:
        """Carry one exchange out and count it; None when it failed."""
        try:
            async with asyncio.timeout(within):
                done = await exchange
        except Failed as error:
            self.tally.failed(kind, error)
        except TimeoutError:
            self.tally.failed(kind, Failed(Failure.LATE))
        else:
            self.tally.answered(kind, done.stall, done.pid)
            return done
        await asyncio.sleep(AFTER_FAILURE_SECONDS)
        return None


class KeptAlive:
    """A connection that is used again until the server announces its end. Nothing is retried."""

    def __init__(self, field: Field, kind: Kind) -> None:
        self._field = field
        self._kind = kind
        self._link: Link | None = None

    async def get(self, request: bytes = PLAIN) -> None:
        """Ask once, on the connection there is, or on a new one after an announced close."""
        done = await self._field.attempt(self._kind, self._ask(request))
        if done is None or done.announces_close:
            self.close()

    async def _ask(self, request: bytes) -> Done:
        began = self._field.now()
        # HTTP/1.1 has no other way to say that a TLS connection, which cannot move, is given up.
        if self._link and self._field.endpoint.tls and self._link.has_been_closed:
            self._field.tally.moved += 1
            self.close()
        if self._link is None:
            self._link = await Link.open(self._field.endpoint)
        self._link.send(request)
        head, body = await self._link.whole()
        return Done(self._link.first_byte_at - began, plain_pid(body), head.announces_close)

    def close(self) -> None:
        """Leave the connection."""
        if self._link:
            self._link.close()
        self._link = None


async def keep_alive(field: Field, longest_pause: float) -> None:
    """Ask on one connection again and again, with pauses (s) of up to this."""
    client = KeptAlive(field, Kind.KEEP_ALIVE)
    while field.open:
        await client.get()
        await asyncio.sleep(random.uniform(0, longest_pause))
    client.close()


async def idle(field: Field, hold: float) -> None:
    """Ask on one connection, hold it idle for about so long (s), and ask again."""
    client = KeptAlive(field, Kind.IDLE)
    await ask_now_and_then(client, field, hold)
    await client.get()
    client.close()


class Asking(Protocol):
    """A client of either version of HTTP."""

    async def get(self) -> object:
        """Ask once."""


async def ask_now_and_then(client: Asking, field: Field, hold: float) -> None:
    """Ask, with pauses of about so long (s), as long as the field is open."""
    while field.open:
        await client.get()
        await asyncio.sleep(min(random.uniform(0.75, 1.25) * hold, field.remaining))


async def leak(field: Field, kib: int, pause: float) -> None:
    """Let the application lose so much memory (KiB) with each request."""
    client = KeptAlive(field, Kind.KEEP_ALIVE)
    while field.open:
        await client.get(GET % f"/leak?{kib}".encode())
        await asyncio.sleep(pause)
    client.close()


async def per_request(field: Field, request: bytes, pause: float) -> None:
    """Open a connection for each request."""
    while field.open:
        await field.attempt(Kind.PER_REQUEST, _on_a_new_connection(field, request, 0))
        await asyncio.sleep(pause)


async def fresh(field: Field) -> None:
    """Connect, say nothing for a while, and then ask."""
    while field.open:
        await field.attempt(Kind.FRESH, _on_a_new_connection(field, PLAIN, SILENT_SECONDS))


async def _on_a_new_connection(field: Field, request: bytes, silence: float) -> Done:
    began = field.now()
    link = await Link.open(field.endpoint)
    try:
        if silence:
            await asyncio.sleep(silence)
            began = field.now()
        link.send(request)
        _, body = await link.whole()
        return Done(link.first_byte_at - began, plain_pid(body))
    finally:
        link.close()


def plain_pid(body: bytes) -> int:
    """Return the pid that a plain answer consists of."""
    if not body.isdigit():
        raise Failed(Failure.WRONG, repr(body[:40]))
    return int(body)
