"""Clients that ask one server for everything that can be asked, and know which response has to come.

A connection that ends between two requests is opened again; one that ends within a response, or before it, was
its worker's when that was killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame

from counting.tally import Asked, Kind, Tally
from wire.http2 import REFUSED_STREAM, Wire

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BODY = b"x" * 1000
READ = 64 * 1024
LOST = (OSError, EOFError, asyncio.IncompleteReadError)

ASGI = (
    ("GET", "/", 200),
    ("GET", "/stream", 200),
    ("GET", "/missing", 404),
    ("GET", "/raises", 500),
    ("HEAD", "/", 200),
    ("POST", "/echo", 200),
    ("PUT", "/", 200),
    ("DELETE", "/missing", 404),
)
STATIC = (
    ("GET", "/files/page.txt", 200),
    ("HEAD", "/files/page.txt", 200),
    ("GET", "/files/none.txt", 404),
    ("POST", "/files/page.txt", 405),
)
OTHER = (("BREW", "/", 200),)


@dataclass(frozen=True)
class Client:
    """One client: of which application, where, in which order."""

    app: str
    path: str
    tally: Tally
    choose: random.Random

    async def open(self) -> Streams:
        return await asyncio.open_unix_connection(self.path)

    def next(self, kinds: tuple[tuple[str, str, int], ...], version: str = "1.1") -> Asked:
        method, path, status = self.choose.choice(kinds)
        told = method if method != "BREW" else "_OTHER"
        return Asked(Kind(self.app, version, told, status), path)


Way = Callable[[Client], Awaitable[None]]


async def ask(client: Client, way: Way) -> None:
    """Ask until there have been enough requests. A way returns when its connection has ended."""
    while not client.tally.is_over:
        await way(client)


# --- HTTP/1.1


def head(asked: Asked, more: str = "") -> bytes:
    method = asked.kind.method.replace("_OTHER", "BREW")
    body = BODY if method in ("POST", "PUT") else b""
    length = f"content-length: {len(body)}\r\n" if body else ""
    return f"{method} {asked.path} HTTP/{asked.kind.version}\r\nhost: a\r\n{length}{more}\r\n".encode() + body


async def response(reader: asyncio.StreamReader, asked: Asked) -> bool:
    """Read one. Returns whether another may follow."""
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    status = int(answer.split()[1])
    assert status == asked.kind.status, (asked, answer)
    keeps = "connection: close" not in answer
    if asked.kind.method == "HEAD" or status in (101, 304):
        return keeps
    if found := re.search(r"content-length: (\d+)", answer):
        await reader.readexactly(int(found[1]))
    elif "transfer-encoding: chunked" in answer:
        while size := int(await reader.readuntil(b"\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readuntil(b"\n")
    else:
        await reader.read()
        keeps = False
    return keeps and asked.kind.version == "1.1"


async def kept(client: Client) -> None:
    """Requests of all kinds one after the other on one connection."""
    await _in_turn(client, "one after the other", ASGI + STATIC + OTHER)


async def kept_wsgi(client: Client) -> None:
    await _in_turn(client, "WSGI", ASGI + OTHER)


async def _in_turn(client: Client, way: str, kinds: tuple[tuple[str, str, int], ...]) -> None:
    reader, writer = await client.open()
    tally, keeps = client.tally, True
    while keeps and not tally.is_over:
        asked = client.next(kinds)
        tally.begin()
        try:
            writer.write(head(asked))
            keeps = await response(reader, asked)
        except LOST:
            tally.lost[asked] += 1
            break
        tally.has_answered(asked, way)
    writer.close()


async def single(client: Client) -> None:
    """A connection for one request: HTTP/1.0, or 1.1 that says so."""
    asked = client.next(ASGI, client.choose.choice(("1.0", "1.1")))
    client.tally.begin()
    writer = None
    try:
        reader, writer = await client.open()
        writer.write(head(asked, "connection: close\r\n"))
        await response(reader, asked)
        client.tally.has_answered(asked, "a connection each")
    except LOST:
        client.tally.lost[asked] += 1
    finally:
        if writer:
            writer.close()


async def pipelined(client: Client) -> None:
    """Several requests in one write."""
    reader, writer = await client.open()
    tally, keeps = client.tally, True
    while keeps and not tally.is_over:
        batch = [client.next(ASGI) for _ in range(client.choose.randint(2, 8))]
        tally.begin(len(batch))
        answered = 0
        try:
            writer.write(b"".join(map(head, batch)))
            for asked in batch:
                keeps = await response(reader, asked)
                tally.has_answered(asked, "pipelined")
                answered += 1
                if not keeps:
                    break
        except LOST:
            # The first was being answered; the others may have been, too.
            tally.lost.update(batch[answered:])
            break
        tally.ask_again(len(batch) - answered)
    writer.close()


# --- WebSockets


async def websocket(client: Client) -> None:
    """A handshake, and a few messages back and forth."""
    asked = Asked(Kind(client.app, "1.1", "GET", 101), "/ws")
    client.tally.begin()
    key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    writer, is_answered = None, False
    try:
        reader, writer = await client.open()
        writer.write(head(asked, f"connection: upgrade\r\nupgrade: websocket\r\n{key}"))
        await response(reader, asked)
        client.tally.has_answered(asked, "WebSocket")
        is_answered = True
        for _ in range(3):
            writer.write(b"\x82\x84" + os.urandom(8))
            if (await reader.readexactly(2))[0] != 0x82:
                # The worker drains.
                return
            await reader.readexactly(4)
        writer.write(b"\x88\x80" + os.urandom(4))
        await reader.read()
    except LOST:
        if not is_answered:
            client.tally.lost[asked] += 1
    finally:
        if writer:
            writer.close()


# --- HTTP/2


async def http2(client: Client) -> None:
    """Several requests at once in streams of one connection."""
    reader, writer = await client.open()
    link = Link(client, reader, writer)
    try:
        while link.is_open and not client.tally.is_over:
            await link.exchange([client.next(ASGI + STATIC, "2") for _ in range(client.choose.randint(1, 8))])
    except LOST:
        client.tally.lost.update(asked for asked, _ in link.open.values())
    writer.close()


class Link:
    """A connection of HTTP/2, and the requests that are open on it."""

    def __init__(self, client: Client, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.client, self.reader = client, reader
        self.wire = Wire(writer.write)
        self.open: dict[int, tuple[Asked, list[int]]] = {}
        """Requests by their streams, with the statuses that have come."""
        self.is_open = True

    async def exchange(self, batch: list[Asked]) -> None:
        self.client.tally.begin(len(batch))
        for asked in batch:
            self._ask(asked)
        while self.open:
            data = await self.reader.read(READ)
            if not data:
                raise EOFError
            for frame in self.wire.frames(data):
                self._hear(frame)

    def _ask(self, asked: Asked) -> None:
        fields = [
            (":method", asked.kind.method),
            (":path", asked.path),
            (":scheme", "http"),
            (":authority", "a"),
        ]
        body = BODY if asked.kind.method in ("POST", "PUT") else b""
        self.open[self.wire.ask(fields, body)] = (asked, [])

    def _hear(self, frame: Frame) -> None:
        if isinstance(frame, HeadersFrame):
            fields = self.wire.fields(frame)
            if frame.stream_id in self.open and ":status" in fields:
                self.open[frame.stream_id][1].append(int(fields[":status"]))
        elif isinstance(frame, RstStreamFrame):
            self._reset(frame)
        elif isinstance(frame, GoAwayFrame):
            self.is_open = False
            beyond = [stream for stream in self.open if stream > frame.last_stream_id]
            self.client.tally.ask_again(len(beyond))
            for stream in beyond:
                del self.open[stream]
        if isinstance(frame, HeadersFrame | DataFrame) and "END_STREAM" in frame.flags:
            self._ended(frame.stream_id)

    def _ended(self, stream: int) -> None:
        if stream in self.open:
            asked, statuses = self.open.pop(stream)
            assert statuses == [asked.kind.status], (asked, statuses)
            self.client.tally.has_answered(asked, "HTTP/2")

    def _reset(self, frame: RstStreamFrame) -> None:
        if frame.stream_id in self.open:
            asked, _ = self.open.pop(frame.stream_id)
            assert frame.error_code == REFUSED_STREAM, (asked, frame)
            self.client.tally.ask_again(1)


WAYS: tuple[tuple[str, Way], ...] = (
    *[("asgi", kept)] * 4,
    ("asgi", single),
    *[("asgi", pipelined)] * 2,
    *[("asgi", websocket)] * 2,
    *[("asgi", http2)] * 3,
    *[("wsgi", kept_wsgi)] * 3,
    ("wsgi", pipelined),
)
"""The clients of one run, with their applications."""
