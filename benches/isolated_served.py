"""What `isolated.py` serves with `--preload`: each request is a call that starts from the template."""

import json
import time

import isolated_work as functions
from lowmem_serve import isolated


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    begun = time.perf_counter()
    await isolated(functions.nothing)
    took = (time.perf_counter() - begun) * 1000
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(took).encode()})
