"""Many idle connections, and what each of them costs the server."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import time

import weigh
from comparison.serving import NotServing, Running

SETTLE_SECONDS = 1.0
"""Between the last answer and the weighing: servers tidy up after a request."""

PRELUDE = 100
"""Connections made before the first weighing, so that one-time costs are not counted."""

SPARE_DESCRIPTORS = 200

KEEP_ALIVE_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def allow_descriptors(count: int) -> None:
    """Raise this process's limit, which the servers inherit, to hold so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + SPARE_DESCRIPTORS:
        raise NotServing(f"{count} connections need more descriptors than the limit of {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + SPARE_DESCRIPTORS), hard))


def kib_per_connection(server: Running, request: bytes, status: bytes, count: int) -> float:
    """Open `count` connections, one answered request each, and return KiB of PSS for each.

    Measured on a server that has served nothing else: after a burst of load the heap has
    room for the connections and they would look free.
    """
    with contextlib.ExitStack() as stack:
        early = [_open(stack, server, request, status) for _ in range(PRELUDE)]
        time.sleep(SETTLE_SECONDS)
        before = weigh.weigh_tree(server.pid)
        held = [_open(stack, server, request, status) for _ in range(count)]
        time.sleep(SETTLE_SECONDS)
        after = weigh.weigh_tree(server.pid)
        if closed := _closed_count(early + held):
            raise NotServing(f"it closed {closed} of {len(early + held)} idle connections")
    return (after.pss - before.pss) / count


def _open(stack: contextlib.ExitStack, server: Running, request: bytes, status: bytes) -> socket.socket:
    try:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=5.0)
        stack.enter_context(connection)
        connection.sendall(request)
        answer = connection.recv(65536)
        while status == b"200" and b"Hello, world!" not in answer:
            piece = connection.recv(65536)
            if not piece:
                break
            answer += piece
    except OSError as error:
        raise NotServing(f"a connection failed: {error}") from error
    if not answer.startswith(b"HTTP/1.1 " + status):
        first = answer.partition(b"\r\n")[0].decode("latin-1")
        raise NotServing(f"wanted {status.decode()}, got: {first or 'a closed connection'}")
    return connection


def _closed_count(connections: list[socket.socket]) -> int:
    """Count the connections on which the server has sent its end (or anything at all)."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN | select.POLLRDHUP)
    return len(poll.poll(0))
