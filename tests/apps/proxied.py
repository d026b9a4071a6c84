"""What is looked at behind a proxy: who the client is, WebSockets, an event stream, a body."""

import asyncio
import json

_next = asyncio.Event()


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def answer(scope, receive, send):
    status, kind, body = 200, b"text/plain", b""
    match scope["path"]:
        case "/who":
            client = scope["client"] and scope["client"][0]
            host = dict(scope["headers"]).get(b"host", b"").decode()
            told = {"client": client, "scheme": scope["scheme"], "host": host}
            kind, body = b"application/json", json.dumps(told).encode()
        case "/length":
            length, more = 0, True
            while more:
                message = await receive()
                length += len(message.get("body", b""))
                more = message.get("more_body", False)
            body = str(length).encode()
        case "/next":
            _next.set()
        case "/events":
            await events(send)
            return
        case _:
            status = 404
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


async def events(send):
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await asyncio.wait_for(_next.wait(), 15)
    await send({"type": "http.response.body", "body": b"data: 2\n\n"})
