"""Applications that await nothing but the server, and go on when their client has gone: others are served."""

import pytest

from conftest import Start
from harness import Server
from harness.websocket_client import WebSocketClient


def leave_a_stream(running: Server) -> None:
    with running.connect() as client:
        client.send(b"GET /sends HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()
        client.cut()


def leave_one_that_sends_nothing(running: Server) -> None:
    with running.connect() as client:
        client.send(b"GET /sends-nothing HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()


def leave_what_has_no_body(running: Server) -> None:
    """Nothing of it is written, so nothing of it ever waits."""
    with running.connect() as client:
        client.send(b"HEAD /sends HTTP/1.1\r\nhost: a\r\n\r\n")
        client.read_head()


def leave_one_that_receives(running: Server) -> None:
    with running.connect() as client:
        client.send(b"GET /receives HTTP/1.1\r\nhost: a\r\n\r\n")
        running.stdout.wait_for_line("in")


def leave_a_websocket(running: Server) -> None:
    with WebSocketClient(running.address) as client:
        client.open("/")
        client.cut()


LEAVE = [
    leave_a_stream,
    leave_one_that_sends_nothing,
    leave_what_has_no_body,
    leave_one_that_receives,
    leave_a_websocket,
]


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
@pytest.mark.parametrize("leave", LEAVE)
def test_others_are_served(server: Start, leave, loop: str) -> None:
    running = server("unending:app", "--loop", loop, "--timeout-graceful-shutdown", "1")
    leave(running)
    # More often than once: the application may hear of its client's end only after the first.
    for _ in range(20):
        assert running.get("/").body == b"Hello, world!"
