"""Sends the file that the query names, by its path."""

from urllib.parse import parse_qs


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    assert scope["extensions"]["http.response.pathsend"] == {}
    asked = parse_qs(scope["query_string"].decode())
    headers = [(b"content-type", b"application/x-test")]
    if "length" in asked:
        headers.append((b"content-length", asked["length"][0].encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        await send({"type": "http.response.pathsend", "path": asked["path"][0]})
    except (OSError, ValueError) as error:
        body = type(error).__name__.encode()
        await send({"type": "http.response.body", "body": body})
    else:
        print("the file was sent", flush=True)
