"""Says which Python it runs in, and exercises what differs between them."""

import asyncio
import json
import subprocess
import sys


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan shutdown ran", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    child = [sys.executable, "-c", "import sys; print(sys.prefix)"]
    answer = {
        "version": list(sys.version_info[:2]),
        "prefix": sys.prefix,
        "prefix of a child": subprocess.check_output(child, text=True).strip(),
        "thread": await asyncio.to_thread(lambda: 6 * 7),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
