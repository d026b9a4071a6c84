"""An application whose weight is chosen: WEIGHED_MB of memory at import, WEIGHED_REQUEST_MB more at `/work`."""

import asyncio
import os

MEGABYTE = 1 << 20

ballast = [bytearray(b"x") * (MEGABYTE * int(os.environ.get("WEIGHED_MB", "0")))]


async def app(scope, receive, send):
    assert scope["type"] == "http"
    status = 200
    match scope["path"]:
        case "/work" if len(ballast) == 1:
            ballast.append(bytearray(b"x") * (MEGABYTE * int(os.environ.get("WEIGHED_REQUEST_MB", "0"))))
        case "/broken":
            status = 500
        case "/forever":
            await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
