"""The application that `isolated.py` serves: calls that start from a template, and calls that are cancelled or killed."""

import asyncio
import json
import os
import time

import isolated_work as functions
from lowmem_serve import isolated


async def took() -> float:
    begun = time.perf_counter()
    await isolated(functions.nothing)
    return (time.perf_counter() - begun) * 1000


async def cancelled(count: int) -> int:
    """Calls that are cancelled at whatever stage they have come to."""
    for number in range(count):
        task = asyncio.create_task(isolated(functions.wait, 30))
        await asyncio.sleep(number % 20 / 1000)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return count


async def killed(count: int) -> int:
    """Calls whose process kills itself."""
    found = 0
    for _ in range(count):
        try:
            await isolated(functions.die)
        except isolated.Died as died:
            found += died.signal == 9
    return found


async def answer(path: str, count: int) -> object:
    if path == "/pid":
        return os.getpid()
    if path == "/cancelled":
        return await cancelled(count)
    if path == "/killed":
        return await killed(count)
    return await took()


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    value = await answer(scope["path"], int(scope["query_string"] or b"0"))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
