"""The smallest application: ASGI 3 as it is, and no import."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        await hello(send)
    else:
        # A WebSocket: closing it before it is accepted refuses it.
        await send({"type": "websocket.close"})


async def hello(send):
    body = b"Hello, world!\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    await receive()  # lifespan.startup: open what the application needs
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown: close it
    await send({"type": "lifespan.shutdown.complete"})
