"""Says that it is imported, does at import what the test asks for, and tells who answers."""

import json
import os
import random
import socket
import sys
import threading
import time

print("the application is imported", file=sys.stderr, flush=True)
random.seed(1)
held = []

if "thread" in os.environ.get("PRELOADED", ""):
    threading.Thread(target=threading.Event().wait, name="poller", daemon=True).start()
if "socket" in os.environ.get("PRELOADED", ""):
    held.append(socket.create_connection(("127.0.0.1", int(os.environ["PRELOADED_PORT"]))))
if "slow" in os.environ.get("PRELOADED", ""):
    print("the import hangs", file=sys.stderr, flush=True)
    time.sleep(60)


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        print(f"startup in {os.getpid()}", file=sys.stderr, flush=True)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/exit":
        os._exit(9)
    answer = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "random": random.random(),
        "threads": threading.active_count(),
        "main": threading.current_thread() is threading.main_thread(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
