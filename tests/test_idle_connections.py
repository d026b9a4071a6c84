"""Thousands of connections that wait: they weigh next to nothing, and a swap moves those that are idle."""

import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness import REPOSITORY, Server
from harness.raw_client import encode_request
from harness.websocket_client import HANDSHAKE, TEXT, encode

APPS = REPOSITORY / "benches" / "recycling" / "apps"

MANY = 10_000

SPARE = 500
"""Descriptors that are no connections."""

KB_PER_CONNECTION = 0.5
"""Of the worker's own memory."""

SETTLED_SECONDS = 2.5
"""A connection rests after 0.2 s, and the server looks after its memory twice a second."""

BURST = 500
"""Requests at once: what so many need for a moment is no matter of idle connections."""

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.fixture
def many() -> Iterator[int]:
    """So many connections as this process and the server's may hold, which inherits its limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(MANY, hard - SPARE)
    if number < MANY / 2:
        pytest.skip(f"only {hard} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield number
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SOME = 2_000
"""Connections of which one weighs enough for that."""

FIRST = 200
"""Connections before those that are weighed: what the first of them need once is not theirs."""

WAITING_KB = {"head": 3.0, "body": 8.0, "websocket": 3.5}
"""Of the worker's own memory, for one that waits there. The application's objects are part of the last two."""


@contextmanager
def connected(server: Server, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(server.address)) for _ in range(number)]
        yield connections


def ask(connections: list[socket.socket]) -> set[int]:
    """One request on each, a burst at a time; the pids of those who answered."""
    answered = set()
    for begin in range(0, len(connections), BURST):
        turn = connections[begin : begin + BURST]
        for connection in turn:
            connection.sendall(REQUEST)
        for connection in turn:
            answer = connection.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            # It is small and written at once, so it arrives whole.
            answered.add(int(answer.rpartition(b"\r\n\r\n")[2]))
    return answered


def own_kb(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    lines = (line.split() for line in rollup.splitlines() if line.startswith("Private_Dirty:"))
    return sum(int(fields[1]) for fields in lines)


def settled_kb(pid: int) -> int:
    """The weight once it has not changed for a while: idle connections rest, what they used is given back."""
    weight, since = own_kb(pid), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        time.sleep(0.1)
        if (now := own_kb(pid)) != weight:
            weight, since = now, time.monotonic()
    return weight


def start(server, *flags: str) -> Server:
    """With an application that answers its pid."""
    flags = ("--no-access-log", "--timeout-keep-alive", "300", *flags)
    return server("exchanges:app", *flags, cwd=APPS, env={"RECYCLING_IMPORT_SECONDS": "0"})


def test_an_idle_connection_weighs_half_a_kilobyte_at_most(server, many: int) -> None:
    started = start(server)
    worker = started.only_worker()
    with connected(started, many) as busy:
        ask(busy)
    before = settled_kb(worker)
    with connected(started, many) as connections:
        ask(connections)
        assert settled_kb(worker) - before <= many * KB_PER_CONNECTION


@pytest.mark.parametrize("mode", ["overlap", "sequential"])
def test_thousands_of_idle_connections_move_to_the_successor(server, many: int, mode: str) -> None:
    started = start(server, "--recycle", mode)
    old = started.only_worker()
    with connected(started, many) as connections:
        assert ask(connections) == {old}
        started.send_signal(signal.SIGHUP)
        moved = started.stderr.wait_for_line(r"Recycled worker .* ([\d,]+) connections handed over", 120)
        assert int(moved[1].replace(",", "")) == many
        new = started.only_worker()
        assert ask(connections) == {new} != {old}


HEAD = encode_request("POST", "/echo", {"user-agent": "curl/8.14", "accept": "*/*", "content-length": "1000"})

WHAT_WAITS = {
    "head": HEAD.removesuffix(b"\r\n"),
    "body": HEAD + b"x" * 500,
    "websocket": encode_request("GET", "/", HANDSHAKE),
}


@pytest.mark.parametrize("waiting", WHAT_WAITS)
def test_a_connection_that_waits_within_something_holds_no_buffer(server, many: int, waiting: str) -> None:
    app = "websocket_light:app" if waiting == "websocket" else "http_bare:app"
    started = server(app, "--no-access-log", "--timeout-header-read", "300")
    worker = started.only_worker()

    def begin(connections: list[socket.socket]) -> int:
        for connection in connections:
            connection.sendall(WHAT_WAITS[waiting])
        return settled_kb(worker)

    number = min(SOME, many)
    with connected(started, FIRST) as first, connected(started, number) as connections:
        before = begin(first)
        assert begin(connections) - before <= number * WAITING_KB[waiting]
        if waiting == "websocket":
            for connection in connections[:FIRST]:
                assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
                connection.sendall(encode(TEXT, b"still there?"))
                assert connection.recv(4096).endswith(b"still there?")
