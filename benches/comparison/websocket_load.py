"""Echo round trips per second over many WebSockets, by a client that does next to nothing for each.

    python benches/comparison/websocket_load.py 8000 --connections 32 --seconds 5 --size 32

Each connection has one message on its way: it is sent when the answer to the last one is complete. The
frame is made once, and an answer is only counted, byte by byte: its length is known. One epoll instance
and two system calls for a round trip leave the servers as the bottleneck.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import struct
import time
from dataclasses import dataclass

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WARM_UP_SECONDS = 0.5


class Refused(Exception):
    """The server did not take a WebSocket, or did not echo."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one run."""

    round_trips: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Round trips per second, over all connections."""
        return self.round_trips / self.seconds


def run(port: int, connections: int = 32, seconds: float = 5.0, size: int = 32) -> Outcome:
    """Echo messages of `size` bytes over `connections` WebSockets to 127.0.0.1 for so long."""
    message, answer_length = frames(size)
    waiting: dict[int, int] = {}
    sockets = {}
    poll = select.epoll()
    try:
        for _ in range(connections):
            connection = opened(port)
            sockets[connection.fileno()] = connection
            waiting[connection.fileno()] = answer_length
            poll.register(connection, select.EPOLLIN)
        for connection in sockets.values():
            connection.sendall(message)
        converse(poll, sockets, waiting, (message, answer_length), WARM_UP_SECONDS)
        began = time.perf_counter()
        count = converse(poll, sockets, waiting, (message, answer_length), seconds)
        return Outcome(count, time.perf_counter() - began)
    finally:
        poll.close()
        for connection in sockets.values():
            connection.close()


def converse(
    poll: select.epoll,
    sockets: dict[int, socket.socket],
    waiting: dict[int, int],
    exchanged: tuple[bytes, int],
    seconds: float,
) -> int:
    """Go on for so long; the round trips that were completed."""
    message, answer_length = exchanged
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for descriptor, _ in poll.poll(1.0):
            data = os.read(descriptor, 65536)
            if not data:
                raise Refused("the server closed a connection")
            left = waiting[descriptor] - len(data)
            if left > 0:
                waiting[descriptor] = left
                continue
            if left < 0:
                raise Refused("an answer is longer than what was sent")
            waiting[descriptor] = answer_length
            count += 1
            sockets[descriptor].send(message)
    return count


def opened(port: int) -> socket.socket:
    """A connection whose handshake has been accepted, and nothing read behind it."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=5.0)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise Refused(f"no WebSocket: {head!r}")
        head += byte
    if not head.startswith(b"HTTP/1.1 101"):
        status = head.partition(b"\r\n")[0]
        raise Refused(f"no WebSocket: {status!r}")
    return connection


def frames(size: int) -> tuple[bytes, int]:
    """A masked text frame of so many bytes, and the length of the frame that answers it."""
    mask = b"\x11\x22\x33\x44"
    payload = b"x" * size
    hidden = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    if size < 126:
        head, plain_head = struct.pack("!BB", 0x81, 0x80 | size), 2
    elif size < 65536:
        head, plain_head = struct.pack("!BBH", 0x81, 0x80 | 126, size), 4
    else:
        head, plain_head = struct.pack("!BBQ", 0x81, 0x80 | 127, size), 10
    return head + mask + hidden, plain_head + size


def main() -> None:
    """Print the round trips per second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=32, help="bytes of a message")
    arguments = parser.parse_args()
    outcome = run(arguments.port, arguments.connections, arguments.seconds, arguments.size)
    print(f"{outcome.per_second:,.0f} round trips/s ({outcome.round_trips:,} in {outcome.seconds:.2f} s)")


if __name__ == "__main__":
    main()
