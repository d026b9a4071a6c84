"""HTTP/2 clients: they go where GOAWAY sends them, and send again what it says was not looked at."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, cast

from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from recycling.clients import Done, Field, ask_now_and_then, plain_pid
from recycling.load import BUSY_PAUSE, CALM_PAUSE, Mix
from recycling.tally import Kind
from recycling.wire import Endpoint, Failed, Failure
from wire.http2 import REFUSED_STREAM, Wire

LINES, EVENT_SECONDS = 20, 0.05
"""Of a streamed response; between two events."""


class Unprocessed(Exception):
    """The server says that it has not looked at the request: it may be sent again."""


class Answer:
    """The received part of one stream."""

    def __init__(self, began: float) -> None:
        self.first_byte_at = began
        self.status = 0
        self.body = bytearray()
        self.is_complete = False
        self.error: Exception | None = None
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Wake the waiters."""
        self._changed.set()

    async def more(self) -> None:
        """Wait until something has come; raise what went wrong."""
        if self.error:
            raise self.error
        self._changed.clear()
        await self._changed.wait()
        if self.error:
            raise self.error

    async def whole(self) -> bytes:
        """Read to the end."""
        while not self.is_complete:
            await self.more()
        if self.error:
            raise self.error
        if self.status != 200:
            raise Failed(Failure.STATUS, str(self.status))
        return bytes(self.body)


class Connection(asyncio.Protocol):
    """One connection, with any number of requests at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._wire: Wire
        self._answers: dict[int, Answer] = {}
        self._last_stream: int | None = None
        """The last stream that GOAWAY names."""
        self._ended: str | None = None

    @classmethod
    async def open(cls, endpoint: Endpoint) -> Connection:
        """Connect; a failure to do so is a failed exchange."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(cls, *endpoint.address, **endpoint.over)
        except ConnectionRefusedError:
            raise Failed(Failure.REFUSED) from None
        except OSError as error:
            raise Failed(Failure.UNANSWERED, f"connecting: {type(error).__name__}") from error
        return connection

    @property
    def is_leaving(self) -> bool:
        """Whether the next request belongs on another connection."""
        return self._last_stream is not None

    def get(self, endpoint: Endpoint, path: str) -> Answer:
        """Send a request."""
        if self._ended:
            raise Failed(Failure.CLOSED_IDLE, self._ended)
        scheme = "https" if endpoint.tls else "http"
        head = [(":method", "GET"), (":scheme", scheme), (":path", path), (":authority", "localhost")]
        answer = self._answers[self._wire.ask(head)] = Answer(self._loop.time())
        return answer

    def close(self) -> None:
        """Close it, whatever state it is in."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told by asyncio."""
        self._transport = cast(asyncio.Transport, transport)
        self._wire = Wire(self._transport.write)

    def data_received(self, data: bytes) -> None:
        """Be told by asyncio."""
        for frame in self._wire.frames(data):
            self._note(frame)

    def connection_lost(self, error: Exception | None) -> None:
        """Be told by asyncio."""
        self._ended = type(error).__name__ if error else "closed"
        for answer in self._answers.values():
            failure = Failure.CUT if answer.status else Failure.UNANSWERED
            answer.error = answer.error or Failed(failure, self._ended)
            answer.changed()
        self._answers.clear()

    def _note(self, frame: Frame) -> None:
        match frame:
            case GoAwayFrame():
                self._last_stream = frame.last_stream_id
                for number in [number for number in self._answers if number > frame.last_stream_id]:
                    self._give_up(number, Unprocessed())
            case RstStreamFrame() if frame.stream_id in self._answers:
                refused = frame.error_code == REFUSED_STREAM
                failed = Failed(Failure.CUT, f"reset with {frame.error_code}")
                self._give_up(frame.stream_id, Unprocessed() if refused else failed)
            case HeadersFrame() | DataFrame():
                self._answered(frame)

    def _answered(self, frame: HeadersFrame | DataFrame) -> None:
        head = self._wire.fields(frame)
        answer = self._answers.get(frame.stream_id)
        if answer is None:
            return
        if head:
            answer.status = int(head[":status"])
            answer.first_byte_at = self._loop.time()
        else:
            answer.body += frame.data
        if "END_STREAM" in frame.flags:
            answer.is_complete = True
            del self._answers[frame.stream_id]
        answer.changed()

    def _give_up(self, number: int, error: Exception) -> None:
        answer = self._answers.pop(number)
        answer.error = error
        answer.changed()


class Client:
    """One connection at a time, and another one after GOAWAY."""

    def __init__(self, field: Field, kind: Kind, mix: Mix) -> None:
        self._sends_again = mix.sends_again
        self._field = field
        self._kind = kind
        self._connection: Connection | None = None
        self._left: list[Connection] = []

    async def get(self, path: str = "/") -> None:
        """Ask once, and once more for what the server has not looked at."""
        if await self._field.attempt(self._kind, self._ask(path)) is None:
            self.close()

    async def _ask(self, path: str) -> Done:
        began = self._field.now()
        while True:
            answer = await self._begin(path)
            try:
                body = await answer.whole()
            except Unprocessed:
                if not self._sends_again:
                    raise Failed(Failure.UNANSWERED, "not looked at") from None
                self._field.tally.sent_again += 1
                continue
            # The lines of a stream say nothing of who answers.
            return Done(answer.first_byte_at - began, plain_pid(body) if path == "/" else None)

    async def _begin(self, path: str) -> Answer:
        if self._connection and self._connection.is_leaving:
            self._field.tally.moved += 1
            # Others may still be answered on it; the server closes it after the last one.
            self._left.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._connection = await Connection.open(self._field.endpoint)
        return self._connection.get(self._field.endpoint, path)

    async def events(self, path: str) -> Done:
        """Read events to the end of the response or of the load."""
        began = self._field.now()
        answer = await self._begin(path)
        while not answer.status:
            await answer.more()
        stall = answer.first_byte_at - began
        while not answer.is_complete:
            await answer.more()
            if not self._field.open:
                return Done(stall)
        self._field.tally.event_ends["complete"] += 1
        return Done(stall)

    def close(self) -> None:
        """Leave all connections."""
        for connection in [*self._left, *([self._connection] if self._connection else [])]:
            connection.close()
        self._connection, self._left = None, []


async def keep_alive(field: Field, mix: Mix, longest_pause: float, at_once: int) -> None:
    """Ask on one connection again and again, so many times at once."""
    client = Client(field, Kind.KEEP_ALIVE, mix)
    while field.open:
        await asyncio.gather(*(client.get() for _ in range(at_once)))
        await asyncio.sleep(random.uniform(0, longest_pause))
    client.close()


async def idle(field: Field, mix: Mix, hold: float) -> None:
    """Ask on one connection, hold it idle for about so long (s), and ask again."""
    client = Client(field, Kind.IDLE, mix)
    await ask_now_and_then(client, field, hold)
    client.close()


async def per_request(field: Field, mix: Mix, pause: float) -> None:
    """Open a connection for each request."""
    while field.open:
        client = Client(field, Kind.PER_REQUEST, mix)
        await client.get()
        client.close()
        await asyncio.sleep(pause)


async def stream(field: Field, mix: Mix, seconds: float) -> None:
    """Read responses that take so long."""
    client = Client(field, Kind.STREAM, mix)
    while field.open:
        await client.get(f"/stream?{LINES},{seconds / LINES}")
    client.close()


async def events(field: Field, mix: Mix) -> None:
    """Follow an event stream; when it has ended, another one."""
    client = Client(field, Kind.EVENTS, mix)
    while field.open:
        await field.attempt(Kind.EVENTS, client.events(f"/events?{EVENT_SECONDS}"), field.remaining + 20)
    client.close()


def all_clients(field: Field, mix: Mix, pause: float) -> list[Coroutine[Any, Any, None]]:
    """Return a load's clients."""
    chosen = []
    for number in range(mix.keep_alive):
        busy = number % 2
        chosen.append(keep_alive(field, mix, BUSY_PAUSE if busy else CALM_PAUSE, 4 if busy else 1))
    chosen += [per_request(field, mix, pause) for _ in range(mix.per_request)]
    chosen += [idle(field, mix, mix.idle_seconds) for _ in range(mix.idle)]
    chosen += [stream(field, mix, mix.stream_seconds) for _ in range(mix.streams)]
    chosen += [events(field, mix) for _ in range(mix.events)]
    return chosen
