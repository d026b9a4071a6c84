"""Clients with long exchanges: streamed responses, uploads, server-sent events."""

from __future__ import annotations

import asyncio
import zlib

from recycling.clients import ANSWER_WITHIN_SECONDS, GET, Done, Field
from recycling.tally import Kind
from recycling.wire import Failed, Failure, Link

LINE_SECONDS = 0.05
"""Between two lines of a streamed response."""

EVENT_SECONDS = 0.1
"""Between two events."""

PIECE = bytes(range(256)) * 128
"""32 KiB of an upload."""


async def stream(field: Field, seconds: float) -> None:
    """Read slow responses, each to its end."""
    while field.open:
        await field.attempt(Kind.STREAM, _stream(field, seconds), seconds + ANSWER_WITHIN_SECONDS)


async def _stream(field: Field, seconds: float) -> Done:
    lines = round(seconds / LINE_SECONDS)
    began = field.now()
    link = await Link.open(field.endpoint)
    try:
        link.send(GET % b"/stream?%d,%g" % (lines, LINE_SECONDS))
        head = await link.head()
        stall = link.first_byte_at - began
        text = b""
        last = field.now()
        while chunk := await link.chunk():
            text += chunk
            stall = max(stall, field.now() - last - LINE_SECONDS)
            last = field.now()
        if text != b"".join(b"%06d\n" % number for number in range(lines)):
            raise Failed(Failure.WRONG, f"{len(text)} bytes of a stream")
        return Done(stall, head.pid)
    finally:
        link.close()


async def upload(field: Field, pieces: int, seconds: float) -> None:
    """Send bodies slowly."""
    while field.open:
        within = seconds + ANSWER_WITHIN_SECONDS
        await field.attempt(Kind.UPLOAD, _upload(field, pieces, seconds), within)


async def _upload(field: Field, pieces: int, seconds: float) -> Done:
    length = pieces * len(PIECE)
    link = await Link.open(field.endpoint)
    try:
        link.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        for _ in range(pieces):
            await asyncio.sleep(seconds / pieces)
            link.send_more(PIECE)
        asked = field.now()
        head, body = await link.whole()
        if body != b"%d %08x" % (length, zlib.crc32(PIECE * pieces)):
            raise Failed(Failure.WRONG, repr(body[:40]))
        return Done(link.first_byte_at - asked, head.pid)
    finally:
        link.close()


async def events(field: Field) -> None:
    """Listen to events; when the server ends them, listen again at once.

    Each response is an exchange. Its stall is the time to its beginning, or the longest delay
    of an event.
    """
    while field.open:
        await field.attempt(Kind.EVENTS, _events(field), field.remaining + ANSWER_WITHIN_SECONDS)


async def _events(field: Field) -> Done:
    began = field.now()
    link = await Link.open(field.endpoint)
    try:
        link.send(GET % b"/events?%g" % EVENT_SECONDS)
        head = await link.head()
        stall = link.first_byte_at - began
        expected = 0
        last = field.now()
        while event := await _next_event(field, link):
            if event != b"data: %d\n\n" % expected:
                raise Failed(Failure.WRONG, f"{event[:40]!r} for event {expected}")
            expected += 1
            field.tally.events += 1
            stall = max(stall, field.now() - last - EVENT_SECONDS)
            last = field.now()
            if not field.open:
                return Done(stall, head.pid)
        field.tally.event_ends["complete"] += 1
        return Done(stall, head.pid)
    finally:
        link.close()


async def _next_event(field: Field, link: Link) -> bytes:
    try:
        return await link.chunk()
    except Failed:
        field.tally.event_ends["cut"] += 1
        raise
