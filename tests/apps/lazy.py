"""Imports asyncio where LAZY_PLACE says, and then answers with what is true in that very request.

It imports nothing that would import asyncio by itself; the truths are in `lazy_truths.py`.
"""

import contextvars
import json
import os
import sys
import threading

place = os.environ["LAZY_PLACE"]
mark = contextvars.ContextVar("mark", default="unset")


def import_asyncio():
    import asyncio  # noqa: F401


def import_asyncio_in_a_thread():
    thread = threading.Thread(target=import_asyncio)
    thread.start()
    thread.join()


if place == "at app import":
    import_asyncio()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if place == "in lifespan startup":
            import_asyncio()
        if place == "in an earlier thread":
            import_asyncio_in_a_thread()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    is_lazy = "asyncio" not in sys.modules
    mark.set("set before the import")
    if place == "after receive()":
        await receive()
    if place == "in a thread of the request":
        import_asyncio_in_a_thread()

    import lazy_truths

    answer = await getattr(lazy_truths, scope["path"][1:])(scope, receive, send)
    if answer is not None:
        answer = json.dumps([is_lazy, answer]).encode()
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})
