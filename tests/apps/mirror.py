"""Shows what the server made of a request, of its flags, and of its environment."""

import asyncio
import json
import os
import sys
from pathlib import Path

# Lets a test see whether the application was imported at all.
if where := os.environ.get("MIRROR_IMPORTED"):
    Path(where).touch()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("lifespan shutdown ran", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await act(scope["path"].removeprefix(scope["root_path"]), receive)
    answer = json.dumps(describe(scope)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def act(path, receive):
    if path == "/body":
        while (await receive()).get("more_body"):
            pass
    elif path == "/slow":
        print("slow request began", flush=True)
        await asyncio.sleep(0.5)
    elif path == "/until-gone":
        print("request of a patient client began", flush=True)
        while (await receive())["type"] != "http.disconnect":
            pass
    elif path == "/forever":
        print("endless request began", flush=True)
        await asyncio.Event().wait()
    elif path == "/crash":
        os._exit(9)
    elif path == "/orphan":
        # The shell ends at once and leaves its own child to PID 1.
        child = await asyncio.create_subprocess_exec("sh", "-c", "sleep 600 &")
        await child.wait()


def describe(scope):
    return {
        "path": scope["path"],
        "raw_path": scope["raw_path"].decode("latin-1"),
        "root_path": scope["root_path"],
        "server": scope["server"],
        "client": scope["client"],
        "scheme": scope["scheme"],
        "pid": os.getpid(),
        "path_entries": sys.path,
        "environ": dict(os.environ),
    }


class Namespace:
    app = staticmethod(app)


def factory():
    return app


def broken_factory():
    raise TypeError("the factory wants an argument")


not_callable = 42
