"""An application for the tests of sleep. Answers with its worker's pid; `/stream` and `/ws` stay open until
the client says so, and `SLEEPING_FAULT` names a file with what goes wrong at the next start: `raise`, or
seconds that the start takes.
"""

import asyncio
import os
import time
from pathlib import Path

FAULT = os.environ.get("SLEEPING_FAULT")

if FAULT and Path(FAULT).exists():
    fault = Path(FAULT).read_text()
    if fault == "raise":
        raise RuntimeError("the fault")
    time.sleep(float(fault))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        return await echo(receive, send)
    if scope["path"] == "/stream":
        return await stream(send, int(scope["query_string"] or 30))
    if scope["path"] == "/background":
        await answer(send, b"ok")
        return await asyncio.sleep(2.5)
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await answer(send, f"{os.getpid()} {size}".encode())


async def answer(send, body):
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send, count):
    """An event every tenth of a second, for three seconds if nothing else is said."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(count):
        await send({"type": "http.response.body", "body": f"{os.getpid()}\n".encode(), "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b""})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
