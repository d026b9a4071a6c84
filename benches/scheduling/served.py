"""An application that answers at once, and has isolated calls made beside that."""

import asyncio
import os
import re
from pathlib import Path

from lowmem_serve import isolated
from scheduling import memory

CALLERS = os.cpu_count() or 1
"""As many as run at once. One that waits is a coroutine, and takes 4.6 KB while it does."""


def private() -> float:
    """The private dirty memory of this process, in MB."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_Dirty: +(\d+) kB", rollup)) / 1024


async def calls(count: int, megabytes: int) -> str:
    before = private()

    async def caller() -> None:
        for _ in range(count // CALLERS):
            await isolated(memory.take, megabytes)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return f"{private() - before:.2f}"


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    text = "hello"
    if scope["path"] == "/calls":
        count, megabytes = map(int, scope["query_string"].split(b"x"))
        text = await calls(count, megabytes)
    if scope["path"] == "/pid":
        text = str(os.getpid())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
