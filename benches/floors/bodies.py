"""The floors of the `upload` and `stream` rows: a loop over epoll that receives bodies and answers.

    python benches/floors/bodies.py upload 8000
    python benches/floors/bodies.py stream 8000

Everything goes into one buffer, over what was there before. Of a request's head nothing is read but its length and
Content-Length; the next request must not come before the answer. This is not a server.
"""

from __future__ import annotations

import functools
import re
import select
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass

BACKLOG = 2048
BUFFER_BYTES = 64 * 1024
"""Larger ones do not stay in the processor's cache."""
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"(?i)^content-length: *(\d+)", re.MULTILINE)


@dataclass(slots=True)
class Request:
    """The received part of a connection's request."""

    connection: socket.socket
    body_bytes: int = 0
    left: int = 0
    """Bytes of the body that have not come yet."""


@functools.cache
def upload(body_bytes: int) -> bytes:
    """Return the whole answer to so many bytes: their number."""
    return _whole(b"%d" % body_bytes)


@functools.cache
def stream(body_bytes: int) -> bytes:
    """Return the whole answer to so many bytes: as many, and those that the benches send."""
    return _whole(b"x" * body_bytes)


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


Answer = Callable[[int], bytes]
ANSWERS: dict[str, Answer] = {"upload": upload, "stream": stream}


def main(arguments: list[str]) -> int:
    """Answer on 127.0.0.1 until killed."""
    if len(arguments) != 2 or arguments[0] not in ANSWERS:
        print(f"usage: bodies.py {'|'.join(ANSWERS)} PORT", file=sys.stderr)
        return 2
    with socket.create_server(("127.0.0.1", int(arguments[1])), backlog=BACKLOG) as listener:
        _serve(listener, ANSWERS[arguments[0]])
    return 0


def _serve(listener: socket.socket, answer: Answer) -> None:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    requests: dict[int, Request] = {}
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == listener.fileno():
                connection, _address = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                requests[connection.fileno()] = Request(connection)
                poll.register(connection, select.EPOLLIN)
            elif not _take(requests[descriptor], buffer, answer):
                requests.pop(descriptor).connection.close()


def _take(request: Request, buffer: memoryview, answer: Answer) -> bool:
    """Receive once, and answer when the body is complete; False at the end of the connection."""
    try:
        received = request.connection.recv_into(buffer)
        if not received:
            return False
        if request.left:
            request.left -= received
        else:
            head = bytes(buffer[:received]).partition(HEAD_END)[0]
            request.body_bytes = int(CONTENT_LENGTH.search(head)[1])
            request.left = len(head) + len(HEAD_END) + request.body_bytes - received
        if not request.left:
            request.connection.sendall(answer(request.body_bytes))
    except ConnectionError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
