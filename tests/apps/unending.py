"""An application that goes on although the client has gone, and awaits nothing but the server."""


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await receive()
    if scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        return await send({"type": "http.response.body", "body": b"Hello, world!"})
    if scope["path"] == "/receives":
        print("in", flush=True)
        while True:
            await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/sends-nothing":
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
    piece = b"" if scope["path"] == "/sends-nothing" else b"x" * 65536
    while True:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
