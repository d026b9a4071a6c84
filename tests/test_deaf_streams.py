"""Streams whose applications do not notice that they should end: they are ended, and hold up no stop."""

import signal
import time
from pathlib import Path

import pytest

from harness import RawClient, Server
from harness.programs import LIFESPAN

LONG = ("--timeout-graceful-shutdown", "300")
"""A stream that is not ended early goes on for far longer than a test waits."""
ENDED = r"Ended 1 stream\(s\) whose applications do not notice that they should end"

ASGI = (
    LIFESPAN
    + """
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    kind = b"text/event-stream" if scope["path"] != "/slow" else b"text/plain"
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]}
    event = {"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True}
    if scope["path"] == "/slow":
        print("begun", flush=True)
        while not ended.is_set():
            await asyncio.sleep(0.05)
        await send(head)
        await send({"type": "http.response.body", "body": b"done"})
        return
    await send(head)
    try:
        while True:
            await send(event)
            await asyncio.sleep(0.05 if scope["path"] == "/deaf" else 3600)
    except asyncio.CancelledError as error:
        print("cancelled:", error, flush=True)
        raise
    finally:
        ended.set()
        print("cleaned up", flush=True)


ended = asyncio.Event()
"""
)

LIGHT = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    head = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
    try:
        while True:
            await receive()
    finally:
        print("cleaned up", flush=True)
"""

WSGI = """
import queue
import time


def app(environ, start_response):
    kind = "text/plain" if environ["PATH_INFO"] == "/slow" else "text/event-stream"
    write = start_response("200 OK", [("content-type", kind)])
    match environ["PATH_INFO"]:
        case "/slow":
            print("begun", flush=True)
            ended.get()
            return [b"done"]
        case "/stuck":
            return events(forever.get)
        case "/writes":
            return written(write)
        case _:
            return events(lambda: time.sleep(0.05))


def events(wait):
    try:
        while True:
            yield b"data: 1\\n\\n"
            wait()
    finally:
        print("closed", flush=True)
        ended.put(None)


def written(write):
    try:
        while True:
            write(b"data: 1\\n\\n")
            time.sleep(0.05)
    finally:
        print("closed", flush=True)


ended, forever = queue.SimpleQueue(), queue.SimpleQueue()
"""

STARLETTE = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route


async def events():
    try:
        while True:
            yield "data: 1\\n\\n"
            await asyncio.sleep(0.05)
    finally:
        print("cleaned up", flush=True)


async def stream(request):
    return StreamingResponse(events(), media_type="text/event-stream")


app = Starlette(routes=[Route("/", stream)])
"""

QUART = """
import asyncio
from quart import Quart

app = Quart(__name__)


@app.get("/")
async def stream():
    async def events():
        try:
            while True:
                yield b"data: 1\\n\\n"
                await asyncio.sleep(0.05)
        finally:
            print("cleaned up", flush=True)

    return events(), {"content-type": "text/event-stream"}
"""

DJANGO = """
import asyncio
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import StreamingHttpResponse
from django.urls import path

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")


async def events():
    try:
        while True:
            yield b"data: 1\\n\\n"
            await asyncio.sleep(0.05)
    finally:
        print("cleaned up", flush=True)


async def stream(request):
    return StreamingHttpResponse(events(), content_type="text/event-stream")


urlpatterns = [path("", stream)]
app = get_asgi_application()
"""

LITESTAR = """
import asyncio
from litestar import Litestar, get
from litestar.response import ServerSentEvent


@get("/")
async def stream() -> ServerSentEvent:
    async def events():
        try:
            while True:
                yield "1"
                await asyncio.sleep(0.05)
        finally:
            print("cleaned up", flush=True)

    return ServerSentEvent(events())


app = Litestar([stream])
"""

FLASK = """
import time
from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def stream():
    def events():
        try:
            while True:
                yield "data: 1\\n\\n"
                time.sleep(0.05)
        finally:
            print("cleaned up", flush=True)

    return Response(events(), mimetype="text/event-stream")
"""

FRAMEWORKS = {
    "starlette": STARLETTE,
    "quart": QUART,
    "django": DJANGO,
    "litestar": LITESTAR,
    "flask": FLASK,
}


@pytest.fixture
def serve(server, tmp_path: Path):
    def start(program: str, *flags: str) -> Server:
        (tmp_path / "deaf.py").write_text(program)
        return server("deaf:app", *LONG, *flags, cwd=tmp_path)

    return start


def listen(server: Server, path: str) -> RawClient:
    """A client that has had an event."""
    client = server.connect(60)
    client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    client.read_head()
    assert client.read_chunk()
    return client


def read_to_the_end(client: RawClient) -> None:
    """The last chunk comes: the response ends in order."""
    while client.read_chunk():
        pass


def stop(server: Server, client: RawClient) -> None:
    """The server stops in order, and so does the response that this client has begun to read."""
    server.send_signal(signal.SIGTERM)
    read_to_the_end(client)
    assert server.wait(60) == 0


def printed(server: Server) -> list[str]:
    """The application's output: all but access lines."""
    return [line for line in server.stdout.wait_for_end().splitlines() if "HTTP/" not in line]


@pytest.mark.parametrize("path", ["/deaf", "/sleeps"])
@pytest.mark.parametrize("flags", [(), ("--loop", "uvloop")])
def test_one_that_only_sends_is_cancelled_and_ends_in_order(serve, path: str, flags) -> None:
    started = serve(ASGI, *flags)
    with listen(started, path) as client:
        stop(started, client)
    told = "cancelled: Task cancelled, its stream did not end when the server stopped"
    assert printed(started)[-3:] == [told, "cleaned up", "shutdown runs"]
    started.stderr.wait_for_line(ENDED)
    assert "Traceback" not in started.stderr.text


def test_an_ordinary_request_is_not_cut_with_it(serve) -> None:
    started = serve(ASGI)
    with listen(started, "/deaf") as client, started.connect(60) as slow:
        slow.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        started.stdout.wait_for_line("begun")
        started.send_signal(signal.SIGTERM)
        # It is answered once the stream has ended.
        assert slow.read_response().body == b"done"
        read_to_the_end(client)
        assert started.wait(60) == 0
    started.stderr.wait_for_line(ENDED)


def test_within_http2_it_ends_in_order_too(serve, connect) -> None:
    started = serve(ASGI)
    client = connect(started, timeout=60)
    number = client.request("GET", "/deaf")
    while not client.streams[number].body:
        client.read()
    started.send_signal(signal.SIGTERM)
    found = client.response(number)
    assert found.ended and found.reset is None
    assert started.wait(60) == 0
    assert printed(started)[-2:] == ["cleaned up", "shutdown runs"]


def test_one_whose_client_has_gone_holds_up_nothing(serve) -> None:
    started = serve(ASGI)
    with listen(started, "/deaf") as client:
        client.cut()
    started.send_signal(signal.SIGTERM)
    assert started.wait(60) == 0
    assert printed(started)[-2:] == ["cleaned up", "shutdown runs"]


def test_one_without_asyncio_is_closed(serve) -> None:
    started = serve(LIGHT)
    with listen(started, "/") as client:
        stop(started, client)
    assert printed(started)[-1] == "cleaned up"
    assert "Traceback" not in started.stderr.text


def test_a_worker_that_is_replaced_lets_it_go_on_and_ends_it_at_last(serve) -> None:
    started = serve(ASGI, "--timeout-graceful-shutdown", "8")
    with listen(started, "/deaf") as client:
        begin = time.monotonic()
        started.send_signal(signal.SIGHUP)
        read_to_the_end(client)
        # Where the server stops it is 2.75 s.
        assert time.monotonic() - begin > 4
        started.stderr.wait_for_line("Recycled worker", 60)
    with listen(started, "/deaf"):
        pass
    started.stderr.wait_for_line(ENDED)


@pytest.mark.parametrize("path", ["/", "/writes"])
def test_wsgi_is_asked_for_no_more_events_and_closed(serve, path: str) -> None:
    started = serve(WSGI)
    with listen(started, path) as client:
        stop(started, client)
    assert printed(started) == ["closed"]
    assert "Traceback" not in started.stderr.text


def test_an_ordinary_wsgi_request_is_not_cut_with_a_stream(serve) -> None:
    started = serve(WSGI)
    with listen(started, "/") as client, started.connect(60) as slow:
        slow.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        started.stdout.wait_for_line("begun")
        started.send_signal(signal.SIGTERM)
        assert slow.read_response().body == b"done"
        read_to_the_end(client)
        assert started.wait(60) == 0


def test_a_wsgi_thread_that_waits_for_its_next_event_is_not_waited_for(serve) -> None:
    started = serve(WSGI)
    with listen(started, "/stuck") as client:
        stop(started, client)
    started.stderr.wait_for_line(ENDED)
    started.stderr.wait_for_line(r"1 WSGI request\(s\) did not end in time, and are given up")


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_those_of_frameworks_end_by_themselves(serve, name: str) -> None:
    pytest.importorskip(name)
    started = serve(FRAMEWORKS[name])
    with listen(started, "/") as client:
        stop(started, client)
    assert "cleaned up" in printed(started)
