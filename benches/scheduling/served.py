"""An application that answers at once, and has isolated calls made beside that."""

import asyncio
import re
from pathlib import Path

from lowmem_serve import isolated
from scheduling import memory


def private() -> float:
    """What this process has written to and shares with no other, in MB."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_Dirty: +(\d+) kB", rollup)) / 1024


async def calls(count: int, megabytes: int) -> str:
    before = private()
    await asyncio.gather(*(isolated(memory.take, megabytes) for _ in range(count)))
    return f"{private() - before:.2f}"


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    text = "hello"
    if scope["path"] == "/calls":
        count, megabytes = map(int, scope["query_string"].split(b"x"))
        text = await calls(count, megabytes)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})
