"""The memory that clients which do not read make a worker hold: of one response, and of a connection's together."""

import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hyperframe.frame import PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from harness import Server
from harness.http2_client import Http2Client
from harness.http2_frames import CANCEL, INITIAL_WINDOW_SIZE

APP = """
import asyncio


async def app(scope, receive, send):
    assert scope["type"] == "http"
    received = await receive()
    what, size = scope["path"][1:].split("-")
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if what == "echo":
        asked = dict(scope["headers"])
        print(scope["path"], asked.get(b"x-request-id"), flush=True)
        body = received["body"] or asked.get(b"x-own", b"")
        return await send({"type": "http.response.body", "body": body})
    if what == "whole":
        return await send({"type": "http.response.body", "body": bytes(int(size))})
    if what in ("later", "brief"):
        await asyncio.sleep(0.3)
    piece = b"x" * int(size)
    for _ in range((2_000_000 if what == "brief" else 16_000_000) // len(piece)):
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


STREAMS = 100

STREAM = {"stream": "/stream-8000", "later": "/later-1000", "whole": "/whole-60000"}


@pytest.mark.parametrize("what", STREAM)
def test_all_responses_of_a_connection_have_one_bound(start, connect, what: str) -> None:
    started = start("--no-access-log")
    (worker,) = started.worker_pids()

    def ask() -> Http2Client:
        client = connect(started, settings={INITIAL_WINDOW_SIZE: 0})
        for _ in range(STREAMS):
            client.request("GET", STREAM[what])
        client.send(PingFrame(opaque_data=b"answered"))
        while client.read_until(PingFrame).opaque_data != b"answered":
            pass
        return client

    ask()
    before = settled_kib(worker)
    clients = [ask() for _ in range(10)]
    kib = (settled_kib(worker) - before) / len(clients)
    print(f"{what}: {kib:.0f} KiB a connection")
    # One bound, what a hundred requests and their applications take, and a piece of each that runs.
    assert kib < 1024 + STREAMS * 12


def test_what_waits_is_answered_in_its_turn(start, connect) -> None:
    started = start("--no-access-log", "--request-id")
    client = connect(started, settings={INITIAL_WINDOW_SIZE: 0})
    whole = [client.request("GET", "/whole-60000") for _ in range(40)]
    late = client.request("GET", "/echo-1", [("x-request-id", "mine"), ("x-own", "yes")])
    posted = client.request("POST", "/echo-1", [("content-length", "6")], end=False)
    client.data(posted, b"a body", end=True)
    given_up = client.request("GET", "/echo-2")
    client.send(RstStreamFrame(given_up, error_code=CANCEL))
    client.send(PingFrame(opaque_data=b"answered"))
    while client.read_until(PingFrame).opaque_data != b"answered":
        pass
    assert not client.streams[late].headers, "1 MiB is not sent yet"
    assert client.streams[whole[0]].headers
    client.send(SettingsFrame(settings={INITIAL_WINDOW_SIZE: 65_535}))
    assert [len(client.response(number).body) for number in whole] == [60_000] * 40
    found = client.response(late)
    assert (found.header("x-request-id"), found.body) == ("mine", b"yes")
    assert client.response(posted).body == b"a body"
    assert "/echo-2" not in started.stdout


def test_one_response_left_unread_holds_up_no_other(start, connect) -> None:
    client = connect(start("--no-access-log"), settings={INITIAL_WINDOW_SIZE: 0})
    large = client.request("GET", "/whole-8000000")
    other = client.request("GET", "/whole-20")
    client.send(WindowUpdateFrame(other, window_increment=20))
    assert len(client.response(other).body) == 20
    assert not client.streams[large].body


def test_streams_that_wait_for_each_other_end(start, connect) -> None:
    """Beyond the bound `send()` waits until its own is sent, and goes on then."""
    client = connect(start("--no-access-log"), settings={INITIAL_WINDOW_SIZE: 0})
    numbers = [client.request("GET", "/brief-100000") for _ in range(30)]
    while not all(client.streams[number].headers for number in numbers):
        client.read()
    client.send(WindowUpdateFrame(0, window_increment=2**30))
    client.send(SettingsFrame(settings={INITIAL_WINDOW_SIZE: 1 << 20}))
    assert all(client.response(number).body.endswith(b"end") for number in numbers)
