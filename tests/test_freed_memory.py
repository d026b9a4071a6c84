"""Memory that was freed goes back to the operating system once the worker rests."""

import re
import threading
import time
from pathlib import Path

import pytest

from harness import Server
from harness.websocket_client import BINARY, WebSocketClient, encode

APP = """
import time


def heavy():
    pieces = [bytes(700 + number % 12000) for number in range(20_000)]
    time.sleep(0.2)
    del pieces


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message.pop("bytes")})
        return
    assert scope["type"] == "http"
    body = b"light"
    if scope["path"] == "/heavy":
        heavy()
    if scope["path"] == "/large":
        body = bytes(16 << 20)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    if environ["PATH_INFO"] == "/heavy":
        heavy()
    start_response("200 OK", [])
    return [b"light"]
"""

RESTS_WITHIN = 60.0
"""Seconds; two are enough on a machine that has nothing else to do."""

KEPT_MB = 16
"""What may stay of hundreds."""


@pytest.fixture
def serve(server, tmp_path: Path):
    (tmp_path / "freeing.py").write_text(APP)
    return lambda app, *flags: server(f"freeing:{app}", *flags, cwd=tmp_path)


def private(pid: int) -> float:
    """In MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty: +(\d+)", rollup, re.MULTILINE)[1]) / 1024


def assert_given_back(pid: int, before: float) -> None:
    deadline = time.monotonic() + RESTS_WITHIN
    while private(pid) > before + KEPT_MB:
        assert time.monotonic() < deadline, f"{before:.1f} MB before, {private(pid):.1f} MB after"
        time.sleep(0.2)


@pytest.mark.parametrize("app", ["app", "wsgi"])
@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_what_a_heavy_moment_took_is_given_back(serve, app: str, loop: str) -> None:
    started = serve(app, "--loop", loop, "--log-level", "debug")
    worker = started.only_worker()
    started.get("/")
    before = private(worker)
    heavy = [threading.Thread(target=started.get, args=("/heavy",)) for _ in range(4)]
    for thread in heavy:
        thread.start()
    for thread in heavy:
        thread.join()
    started.stderr.wait_for_line(r"Gave \d+\.\d MB back", RESTS_WITHIN)
    assert_given_back(worker, before)


def test_what_large_responses_took_is_given_back(serve) -> None:
    started = serve("app")
    worker = started.only_worker()
    started.get("/")
    before = private(worker)
    for _ in range(3):
        assert len(started.get("/large").body) == 16 << 20
    assert_given_back(worker, before)


def test_what_large_messages_took_is_given_back_while_the_websocket_is_open(serve) -> None:
    started = serve("app", "--ws-max-size", str(32 << 20))
    worker = started.only_worker()
    started.get("/")
    before = private(worker)
    with WebSocketClient(started.address) as client:
        client.open()
        for _ in range(2):
            client.send(encode(BINARY, bytes(16 << 20)))
            client.read_frame()
        assert_given_back(worker, before)


def test_a_limit_of_memory_does_not_count_what_is_given_back(serve) -> None:
    started = serve("app", "--max-rss", "60M")
    worker = started.only_worker()

    def light(server: Server, until: float) -> None:
        while time.monotonic() < until:
            server.get("/")
            time.sleep(0.05)

    # Requests go on, so that the worker does not rest.
    lights = threading.Thread(target=light, args=(started, time.monotonic() + 6))
    lights.start()
    started.get("/heavy")
    lights.join()
    assert started.only_worker() == worker
