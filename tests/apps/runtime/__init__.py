"""What is true for code that runs in the server: a route for each truth, which answers with what it saw."""

import atexit
import json
import signal

# Imported for the truths that they register.
from runtime import event_loop, interpreter, processes, tasks, threads  # noqa: F401
from runtime.truth import truths


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http":
        answer = json.dumps(await truths[scope["path"]](scope)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def lifespan(receive, send):
    await receive()
    signal.signal(signal.SIGUSR2, lambda number, frame: print("SIGUSR2 was handled", flush=True))
    atexit.register(print, "atexit ran", end="")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
