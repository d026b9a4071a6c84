"""Small answers from an application that never imports asyncio: one path, one behaviour.

/echo   the whole body of the request
/early  begins the answer, then reads the body, then ends the answer with what came of it
anything else: "hello"
"""


async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/echo":
        return await respond(send, await read(receive))
    if scope["path"] == "/early":
        return await early(receive, send)
    await respond(send, b"hello")


async def respond(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def read(receive):
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"disconnected"
        body += message["body"]
        if not message["more_body"]:
            return body


async def early(receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun ", "more_body": True})
    body = await read(receive)
    await send({"type": "http.response.body", "body": body})
