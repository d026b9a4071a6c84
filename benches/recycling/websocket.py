"""A WebSocket client that wants to be told why it has to leave (RFC 6455, section 7.4)."""

from __future__ import annotations

import asyncio
import contextlib
import os
from enum import IntEnum

from comparison.websocket_load import HANDSHAKE
from recycling.clients import Done, Field
from recycling.tally import Kind
from recycling.wire import Endpoint, Failed, Failure, Link

MESSAGE_SECONDS = 0.05
"""Between an echo and the next message."""

LEAVING = 1000
"""The close code of a client that has finished."""


class Opcode(IntEnum):
    """RFC 6455, section 5.2."""

    TEXT = 1
    CLOSE = 8
    PING = 9
    PONG = 10


async def refusal(endpoint: Endpoint) -> str | None:
    """Say how the server refuses WebSockets; None when it does not."""
    try:
        link = await Link.open(endpoint)
        try:
            link.send(HANDSHAKE)
            async with asyncio.timeout(2):
                head = await link.head()
            return None if head.status == 101 else "the upgrade is answered with 200"
        finally:
            link.close()
    except TimeoutError:
        return "the upgrade is not answered"
    except Failed as error:
        return f"the upgrade is refused: {error}"


async def websocket(field: Field) -> None:
    """Exchange texts; told to leave, reconnect at once. Each connection is an exchange too."""
    while field.open:
        await field.attempt(Kind.WEBSOCKET, _session(field), field.remaining + 20)


async def _session(field: Field) -> Done:
    began = field.now()
    link = await Link.open(field.endpoint)
    try:
        link.send(HANDSHAKE)
        head = await link.head()
        if head.status != 101:
            raise Failed(Failure.WRONG, "no upgrade")
        stall = link.first_byte_at - began
        number = 0
        while field.open:
            sent = field.now()
            # The server may have left by now; why is still to be read.
            with contextlib.suppress(Failed):
                _send(link, Opcode.TEXT, b"%d" % number)
            if (code := await _echoed(link, b"%d" % number)) is not None:
                field.tally.websocket_ends[str(code)] += 1
                return Done(stall)
            stall = max(stall, field.now() - sent)
            number += 1
            await asyncio.sleep(MESSAGE_SECONDS)
        with contextlib.suppress(Failed):
            _send(link, Opcode.CLOSE, LEAVING.to_bytes(2))
        return Done(stall)
    except Failed as error:
        if error.failure in (Failure.CUT, Failure.UNANSWERED):
            field.tally.websocket_ends["cut"] += 1
        raise
    finally:
        link.close()


async def _echoed(link: Link, text: bytes) -> int | None:
    """Read up to the echo, or to a close, whose code is returned."""
    while True:
        opcode, payload = await _receive(link)
        if opcode == Opcode.CLOSE:
            with contextlib.suppress(Failed):
                _send(link, Opcode.CLOSE, payload[:2])
            return int.from_bytes(payload[:2]) if payload else 1005
        if opcode == Opcode.PING:
            _send(link, Opcode.PONG, payload)
        elif opcode == Opcode.TEXT:
            if payload != text:
                raise Failed(Failure.WRONG, f"{payload[:40]!r} for an echo of {text!r}")
            return None


async def _receive(link: Link) -> tuple[int, bytes]:
    head = await link.exactly(2)
    length = head[1]
    if length == 126:
        length = int.from_bytes(await link.exactly(2))
    return head[0] & 0xF, await link.exactly(length)


def _send(link: Link, opcode: Opcode, payload: bytes) -> None:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    link.send_more(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
