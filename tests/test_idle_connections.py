"""Thousands of idle connections: they weigh next to nothing, and a swap moves them all."""

import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness import REPOSITORY, Server

APPS = REPOSITORY / "benches" / "recycling" / "apps"

MANY = 10_000

SPARE = 500
"""Descriptors that are no connections."""

KB_PER_CONNECTION = 0.5
"""Of the worker's own memory, and of what the kernel keeps in no socket."""

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


@contextmanager
def connected(server: Server, number: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(server.address)) for _ in range(number)]
        yield connections


def ask(connections: list[socket.socket]) -> set[int]:
    """One request on each, in turns so that no queue is too long; the pids of those who answered."""
    answered = set()
    for begin in range(0, len(connections), 500):
        turn = connections[begin : begin + 500]
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


def lightest_kb(pid: int, limit: float, within: float = 10) -> int:
    """The weight once it is below the limit, or what it still is when the time is up."""
    deadline = time.monotonic() + within
    while (weight := own_kb(pid)) > limit and time.monotonic() < deadline:
        time.sleep(0.05)
    return weight


def start(server, *flags: str) -> Server:
    """With an application that answers its pid."""
    flags = ("--no-access-log", "--timeout-keep-alive", "300", *flags)
    return server("exchanges:app", *flags, cwd=APPS, env={"RECYCLING_IMPORT_SECONDS": "0"})


def test_an_idle_connection_weighs_half_a_kilobyte_at_most(server, many: int) -> None:
    started = start(server)
    (worker,) = started.worker_pids()
    # What the first connections touch for the first time is no cost of idle ones.
    with connected(started, 200) as warm:
        ask(warm)
    before = own_kb(worker)
    with connected(started, many) as connections:
        ask(connections)
        limit = before + many * KB_PER_CONNECTION
        assert lightest_kb(worker, limit) <= limit


@pytest.mark.parametrize("mode", ["overlap", "sequential"])
def test_thousands_of_idle_connections_move_to_the_successor(server, many: int, mode: str) -> None:
    started = start(server, "--recycle", mode)
    (old,) = started.worker_pids()
    with connected(started, many) as connections:
        assert ask(connections) == {old}
        started.send_signal(signal.SIGHUP)
        moved = started.stderr.wait_for_line(r"Recycled worker .* ([\d,]+) connections handed over", 30)
        assert int(moved[1].replace(",", "")) == many
        (new,) = started.worker_pids()
        assert ask(connections) == {new} != {old}
