"""What a client that does not read makes a worker hold of the response: of one, and of one connection's together."""

import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness import Server

APP = """
import asyncio


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    what, size = scope["path"][1:].split("-")
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if what == "whole":
        return await send({"type": "http.response.body", "body": bytes(int(size))})
    if what == "later":
        await asyncio.sleep(0.3)
    piece = b"x" * int(size)
    for _ in range(16_000_000 // len(piece)):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})
"""

CONNECTIONS = 150

NOISE = 1.05

UVICORN = [sys.executable, "-m", "uvicorn", "--no-access-log", "--loop", "uvloop", "--http", "httptools"]


@pytest.fixture
def start(server, tmp_path: Path):
    (tmp_path / "stream.py").write_text(APP)

    def start(*flags: str, **options) -> Server:
        return server("stream:app", *flags, cwd=tmp_path, **options)

    return start


def own_kib(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))


def settled_kib(pid: int) -> int:
    weight, since = own_kib(pid), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.1)
        now = own_kib(pid)
        if abs(now - weight) > 64:
            weight, since = now, time.monotonic()
    return weight


def kib_a_connection(started: Server, pid: int, path: str) -> float:
    """What a connection costs whose client has asked and does not read."""
    with ExitStack() as stack:
        clients = []

        def ask(count: int) -> None:
            for _ in range(count):
                client = socket.socket()
                stack.enter_context(client)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(started.address)
                client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
                clients.append(client)

        ask(20)
        before = settled_kib(pid)
        ask(CONNECTIONS)
        return (settled_kib(pid) - before) / CONNECTIONS


@pytest.mark.parametrize("path", ["/stream-1000", "/stream-8000", "/stream-16000", "/stream-32768"])
def test_a_slow_reader_costs_no_more_than_with_uvicorn(start, path: str) -> None:
    here = start("--no-access-log")
    (worker,) = here.worker_pids()
    other = start(command=UVICORN)
    ours, uvicorns = kib_a_connection(here, worker, path), kib_a_connection(other, other.pid, path)
    print(f"{path}: {ours:.1f} KiB a connection, Uvicorn {uvicorns:.1f}")
    assert ours <= uvicorns * NOISE
