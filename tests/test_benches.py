"""What the benches say is so: floors answer as servers do, who stalls is found, ports are not lost."""

import contextlib
import errno
import http.client
import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import REPOSITORY

sys.path.insert(0, str(REPOSITORY / "benches"))

from comparison import floors, load, serving, stalls, workloads
from comparison.servers import Server

WEBSOCKETS = 8
ECHO = replace(*workloads.named(["websocket"]), connections=WEBSOCKETS)

needs_wrk = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed")
needs_inet_diag = pytest.mark.skipif(not stalls.can_be_told(), reason="this kernel has no inet_diag")


def floor(name: str) -> Server:
    found = next(floor for floor in floors.all_floors() if floor.name == name)
    if why := found.missing():
        pytest.skip(why)
    return found


def workload(name: str) -> workloads.Workload:
    return workloads.named([name])[0]


def client(threads: int = 1) -> load.Client:
    return load.Client("free", threads, cpus=None)


@contextlib.contextmanager
def echo_server(echoing: int) -> Iterator[serving.Running]:
    """Accepts every WebSocket, and echoes messages of 32 bytes on so many of them."""

    def converse(connection: socket.socket, echoes: bool) -> None:
        answer = b"\x81\x20" + b"x" * 32
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            while connection.recv(65536):
                if echoes:
                    connection.sendall(answer)

    def accept() -> None:
        for number in range(WEBSOCKETS):
            connection, _ = listener.accept()
            threading.Thread(target=converse, args=(connection, number < echoing), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield serving.Running(os.getpid(), listener.getsockname()[1], ready_seconds=0.0, fault=None)


# --- connections that stall


@needs_inet_diag
@pytest.mark.parametrize("stalled", [0, 3])
def test_connections_without_answers_are_counted(stalled: int) -> None:
    with echo_server(WEBSOCKETS - stalled) as running:
        result = load.apply_load(running, ECHO, client(), 1.0)
    assert result.errors == ({"stalled connections": stalled} if stalled else {})
    assert result.requests_per_second > 0


@needs_inet_diag
def test_a_connection_is_silent_since_it_last_received_something() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)), listener.accept()[0]:
            assert stalls.silent(port, 0) == 1
            assert stalls.silent(port, 3600) == 0
        assert stalls.silent(port, 0) == 0


@needs_wrk
@needs_inet_diag
@pytest.mark.parametrize("name", ["upload", "stream"])
def test_clients_that_are_busy_with_bodies_have_not_stalled(name: str) -> None:
    command = floor("floor-python").serve
    with serving.running(lambda port: command(workload(name), port), workload(name)) as running:
        result = load.apply_load(running, workload(name), client(), 2.0)
    assert result.errors == {}


# --- floors


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("floor-epoll", "hello"),
        ("floor-uring", "hello"),
        ("floor-python", "upload"),
        ("floor-python", "stream"),
    ],
)
def test_a_floor_answers_as_a_server_does(name: str, served: str) -> None:
    measured, asked = floor(name), workload(served)
    assert measured.serves(asked)
    with serving.running(lambda port: measured.serve(asked, port), asked) as running:
        assert running.fault is None
        connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        with contextlib.closing(connection):
            for _ in range(3):
                connection.request(asked.method, "/", asked.body or None)
                assert connection.getresponse().read() == asked.right_answer


def test_what_cannot_be_compiled_is_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setattr(floors, "BUILT", tmp_path)
    broken = tmp_path / "broken.c"
    broken.write_text("#include <no/such/header.h>\n")
    assert "no/such/header.h" in (floors.Source(broken).missing() or "")
    monkeypatch.setenv("PATH", "")
    assert "cc is not on PATH" in (floors.Source(broken).missing() or "")


# --- ports


def test_a_reserved_port_is_left_to_the_server_alone() -> None:
    with serving.reserved_port() as port:
        with socket.socket() as other, pytest.raises(OSError) as refused:
            other.bind(("127.0.0.1", port))
        assert refused.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
            pass
