"""The smallest ASGI application: 13 bytes of text, nothing imported."""

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}
BODY = {"type": "http.response.body", "body": b"Hello, world!"}


async def app(scope, receive, send):
    """Greet; leave lifespan unsupported, as a bare application does."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(START.copy())
    await send(BODY.copy())
