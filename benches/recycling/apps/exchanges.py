"""A bare ASGI application with every kind of exchange, whose start can be slow or can fail.

GET /              the worker's pid
GET /stream?N,S    N lines, one each S seconds
POST /upload       length and CRC-32 of the body
GET /events?S      an event each S seconds, until the client or the server wants no more
GET /leak?N        the pid; N KiB are never given back
WebSocket          echo

RECYCLING_IMPORT_SECONDS is how long its import takes. RECYCLING_FAULT names a file that is read at
the import; what it says (`import`, `startup`, `hang`, `hang-import`) is how the start then fails.
"""

import asyncio
import os
import time
import zlib

PID = b"%d" % os.getpid()
leaked: list[bytes] = []


def fault() -> str:
    """Return how this start shall fail; empty: not at all."""
    path = os.environ.get("RECYCLING_FAULT", "")
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


FAULT = fault()
time.sleep(float(os.environ.get("RECYCLING_IMPORT_SECONDS", "0.3")))
if FAULT == "import":
    raise ImportError("this start fails as it was told to")
if FAULT == "hang-import":
    time.sleep(3600)


async def app(scope, receive, send):
    """Choose by type and path."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["path"] == "/stream":
        await stream(send, *scope["query_string"].split(b","))
    elif scope["path"] == "/upload":
        await upload(receive, send)
    elif scope["path"] == "/events":
        await events(receive, send, float(scope["query_string"]))
    else:
        if scope["path"] == "/leak":
            # Written to, so that it is memory and not a promise.
            leaked.append(b"\x01" * (int(scope["query_string"]) * 1024))
        await answer(send, PID)


async def lifespan(receive, send):
    """Fail at the start if told to; say on standard output that the shutdown ran."""
    await receive()
    if FAULT == "startup":
        await send({"type": "lifespan.startup.failed", "message": "this start fails as it was told to"})
        return
    if FAULT == "hang":
        await asyncio.Event().wait()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan shutdown of", os.getpid(), flush=True)
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body):
    """Send a whole answer."""
    await send(start((b"content-length", b"%d" % len(body))))
    await send({"type": "http.response.body", "body": body})


async def stream(send, lines, pause):
    """Send lines slowly, whatever happens meanwhile."""
    await send(start())
    for number in range(int(lines)):
        await send({"type": "http.response.body", "body": b"%06d\n" % number, "more_body": True})
        await asyncio.sleep(float(pause))
    await send({"type": "http.response.body", "body": b""})


async def upload(receive, send):
    """Read the whole body."""
    length = checksum = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body = message.get("body", b"")
        length += len(body)
        checksum = zlib.crc32(body, checksum)
        more = message.get("more_body", False)
    await answer(send, b"%d %08x" % (length, checksum))


async def events(receive, send, pause):
    """Send events and, once told `http.disconnect`, end the response as it should end."""
    left = asyncio.ensure_future(disconnect(receive))
    number = 0
    try:
        await send(start())
        while not left.done():
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            number += 1
            await asyncio.wait([left], timeout=pause)
        await send({"type": "http.response.body", "body": b""})
    except OSError:
        pass  # the client has left
    finally:
        left.cancel()


async def disconnect(receive):
    """Wait for `http.disconnect`."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def echo(receive, send):
    """Accept, then echo each text until the end."""
    while True:
        message = await receive()
        match message["type"]:
            case "websocket.connect":
                await send({"type": "websocket.accept", "headers": [(b"x-pid", PID)]})
            case "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            case _:
                return


def start(*headers):
    """Return the first message of a 200 response."""
    return {"type": "http.response.start", "status": 200, "headers": [(b"x-pid", PID), *headers]}
