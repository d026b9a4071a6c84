"""Bare ASGI applications that take a request body: echo, upload and stream."""

PIECE_BYTES = 8 * 1024
"""Largest piece that `stream` sends in one message."""


async def pieces(receive):
    """Yield the parts of the request body as they arrive."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        if body := message.get("body", b""):
            yield body
        if not message.get("more_body", False):
            return


def start(content_length: int | None = None):
    """A 200 response's first message, chunked when no length (bytes) is given."""
    headers = [(b"content-type", b"application/octet-stream")]
    if content_length is not None:
        headers.append((b"content-length", b"%d" % content_length))
    return {"type": "http.response.start", "status": 200, "headers": headers}


def must_be_http(scope) -> None:
    """Leave lifespan unsupported, as a bare application does."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])


async def echo(scope, receive, send):
    """Read the whole body, then send it back."""
    must_be_http(scope)
    body = b"".join([piece async for piece in pieces(receive)])
    await send(start(len(body)))
    await send({"type": "http.response.body", "body": body})


async def upload(scope, receive, send):
    """Count the body's bytes without keeping them, and answer with the count."""
    must_be_http(scope)
    count = 0
    async for piece in pieces(receive):
        count += len(piece)
    answer = b"%d" % count
    await send(start(len(answer)))
    await send({"type": "http.response.body", "body": answer})


async def stream(scope, receive, send):
    """Send each part of the body back as it arrives, in messages of at most PIECE_BYTES."""
    must_be_http(scope)
    await send(start())
    async for piece in pieces(receive):
        for offset in range(0, len(piece), PIECE_BYTES):
            part = piece[offset : offset + PIECE_BYTES]
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
