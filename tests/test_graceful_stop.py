"""A stop: what is told to end, what may finish, and that it is over before `docker stop` kills."""

import signal
import time
from pathlib import Path

import pytest

from harness import RawClient, Server
from harness.programs import LIFESPAN

DOCKER_STOP = 10.0
"""Seconds until `docker stop` kills."""

APP = (
    LIFESPAN
    + """
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    kind = b"text/event-stream" if scope["path"] == "/events" else b"text/plain"
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    match scope["path"]:
        case "/events" | "/lines":
            await send(head)
            gone = asyncio.create_task(disconnected(receive))
            while not gone.done():
                await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
                await asyncio.wait([gone], timeout=0.05)
            print("told to end", flush=True)
        case "/slow":
            print("begun", flush=True)
            await asyncio.sleep(float(scope["query_string"]))
            await send(head)
            await send({"type": "http.response.body", "body": b"done"})
        case _:
            await send(head)
            await send({"type": "http.response.body", "body": b"hello"})


async def disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass
"""
)


@pytest.fixture
def serve(server, tmp_path: Path):
    (tmp_path / "stopped.py").write_text(APP)
    return lambda *flags: server("stopped:app", *flags, cwd=tmp_path)


def begin(server: Server, target: str) -> RawClient:
    client = server.connect()
    client.send(f"GET {target} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    return client


def stop(server: Server, number: signal.Signals = signal.SIGTERM) -> float:
    """The seconds that it takes, until the end with exit code 0."""
    began = time.monotonic()
    server.send_signal(number)
    assert server.wait() == 0
    return time.monotonic() - began


def test_an_event_stream_is_told_to_end_and_ends_in_order(serve) -> None:
    started = serve()
    with begin(started, "/events") as client:
        client.read_head()
        assert client.read_chunk()
        # Others are told after five seconds, and cut a second later.
        assert stop(started) < 5
        while client.read_chunk():
            pass
    assert "told to end" in started.stdout.wait_for_end()
    assert "shutdown runs" in started.stdout.wait_for_end()


def test_what_takes_longer_is_cut_and_lifespan_shutdown_runs_before_docker_kills(serve) -> None:
    # What a stop takes in which nothing is waited for: how fast the machine is just now.
    idle = stop(serve())
    started = serve()
    with begin(started, "/slow?60"), begin(started, "/lines") as endless:
        endless.read_head()
        started.stdout.wait_for_line("begun")
        assert stop(started) < DOCKER_STOP - 0.5 + 3 * idle
    assert "shutdown runs" in started.stdout.wait_for_end()
    assert "Cancel 1 running task(s)" in started.stderr.wait_for_end()


def test_a_request_that_ends_in_time_is_answered(serve) -> None:
    started = serve()
    with begin(started, "/slow?3.5") as client:
        started.stdout.wait_for_line("begun")
        assert 1 < stop(started) < DOCKER_STOP
        assert client.read_response().body == b"done"


def test_an_unread_stream_of_lines_ends_with_an_explicit_grace_period(serve) -> None:
    started = serve("--timeout-graceful-shutdown", "2")
    with begin(started, "/lines") as client:
        client.read_head()
        assert stop(started) < 7, "without one it takes six seconds and more"
    assert "shutdown runs" in started.stdout.wait_for_end()


def test_a_delay_keeps_serving_and_says_close(serve) -> None:
    started = serve("--drain-delay", "4")
    with started.connect() as kept:
        assert kept.get("/").header("connection") is None
        began = time.monotonic()
        started.send_signal(signal.SIGTERM)
        started.stderr.wait_for_line(r"Serving on for 4 s")
        assert kept.get("/").header("connection") == "close"
    assert started.get("/").body == b"hello"
    assert started.wait() == 0
    assert time.monotonic() - began >= 4
    assert "shutdown runs" in started.stdout.wait_for_end()


def test_a_person_does_not_wait_for_the_delay(serve) -> None:
    started = serve("--drain-delay", "60")
    assert stop(started, signal.SIGINT) < 30
    assert "shutdown runs" in started.stdout.wait_for_end()


def test_a_second_signal_ends_the_delay(serve) -> None:
    started = serve("--drain-delay", "60")
    started.send_signal(signal.SIGTERM)
    started.stderr.wait_for_line(r"Serving on for 60 s")
    assert started.interrupt_again() == 0


def test_a_worker_that_is_being_replaced_has_no_more_time_than_the_server(serve) -> None:
    started = serve()
    with begin(started, "/slow?120"):
        started.stdout.wait_for_line("begun")
        started.send_signal(signal.SIGHUP)
        # The first worker, which waits for its request: for 28 s, were it not for the stop.
        started.stderr.wait_for_line("Waiting for connections to close")
        assert stop(started) < 20
