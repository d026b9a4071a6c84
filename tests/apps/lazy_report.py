"""Imports at the top what only one route uses, and says what is loaded."""

import colorsys
import json
import sys
import wave

UNUSED_UNTIL_ASKED = ("colorsys", "wave")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/use":
        answer = [colorsys.rgb_to_hls(0.0, 0.0, 0.0), wave.Error.__name__]
    elif scope["path"] == "/path":
        package = getattr(sys.modules.get("lowmem_serve"), "__file__", None)
        answer = {"package": package, "path": sys.path}
    else:
        answer = [name in sys.modules for name in UNUSED_UNTIL_ASKED]
    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/json")],
    }
    await send(start)
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
