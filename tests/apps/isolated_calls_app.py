"""Calls functions of `isolated_functions` by name, in an application that a template may have imported."""

import asyncio
import json
import os
import time
from urllib.parse import parse_qs

import isolated_functions as functions

from lowmem_serve import isolated

TAKEN = bytearray(b"x" * (80 << 20)) if os.environ.get("TAKES") else b""
"""What a template has, and each process that is forked from it."""


async def answer(path: str, query: dict[str, str]) -> object:
    if path == "/worker":
        return {"pid": os.getpid(), "descriptors": len(os.listdir("/proc/self/fd"))}
    if path == "/note":
        os.environ["NOTED"] = "by the worker"
        os.chdir("/")
        return None
    if path == "/cancel":
        return await cancel(int(query["count"]))
    if path == "/stream":
        rows = isolated.stream(functions.rows, int(query["count"]))
        return [row async for row in rows]
    if path == "/spoken_rows":
        return [row async for row in isolated.stream(functions.spoken_rows, 20)]
    if path == "/until_disconnect":
        return await until_disconnect(query["receive"])
    return await called(path, query)


async def until_disconnect(receive) -> None:
    """As frameworks have it: the view is cancelled when its client goes."""
    view = asyncio.create_task(isolated(functions.sleep, 60))
    while (await receive())["type"] != "http.disconnect":
        pass
    view.cancel()
    await asyncio.gather(view, return_exceptions=True)


async def called(path: str, query: dict[str, str]) -> object:
    function = getattr(functions, path[1:])
    arguments = json.loads(query.get("arguments", "[]"))
    limits = json.loads(query.get("limits", "{}"))
    begun = time.monotonic()
    try:
        if "thread" in query:
            value = await asyncio.to_thread(isolated.sync, function, *arguments, **limits)
        else:
            value = await isolated(function, *arguments, **limits)
    except Exception as error:
        signal, code = getattr(error, "signal", None), getattr(error, "code", None)
        value = {"raised": type(error).__name__, "text": str(error), "signal": signal, "code": code}
    return {"value": value, "took": time.monotonic() - begun}


async def cancel(count: int) -> int:
    """Calls that are cancelled at whatever stage they have come to."""
    for number in range(count):
        task = asyncio.create_task(isolated(functions.sleep, 30))
        await asyncio.sleep(number % 10 / 500)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
    return count


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
    query["receive"] = receive
    body = json.dumps(await answer(scope["path"], query)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(isolated.sync(functions.surroundings)).encode()]


def spoken(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(isolated.sync(functions.speak)).encode()]
