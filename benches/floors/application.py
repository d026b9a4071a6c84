"""Calls an application by asyncio for some CPU time, and prints what a request takes: CPU time in µs.

    cd benches/apps && PYTHONPATH=. python ../floors/application.py quart_hello:app 2 'Hello, world!'

No socket, no HTTP: a scope, a `receive` and a `send` of a few lines. As under a server with connections that
are ready together, some requests are begun at a time. `benches/alone.py` runs it.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

TOGETHER = 64
"""Requests that are begun at a time: the connections of the rows that this is the floor of."""

WARM_UP_SHARE = 0.25

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"127.0.0.1:8000")],
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000),
}
REQUEST = {"type": "http.request", "body": b"", "more_body": False}

Message = dict[str, Any]
Application = Callable[..., Awaitable[None]]


class Caller:
    """Makes requests of an application."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self.answered = bytearray()
        """The bodies that have been sent since it was cleared."""

    async def request(self) -> None:
        """Make one."""
        unread = [REQUEST]

        async def receive() -> Message:
            return unread.pop() if unread else await asyncio.get_running_loop().create_future()

        await self._app({**SCOPE, "state": {}}, receive, self._send)

    async def requests(self, seconds: float) -> float:
        """Make them for so much CPU time; return what one has taken (s)."""
        done, began = 0, time.process_time()
        while (spent := time.process_time() - began) < seconds:
            await asyncio.gather(*(self.request() for _ in range(TOGETHER)))
            done += TOGETHER
            self.answered.clear()
        return spent / done

    async def _send(self, message: Message) -> None:
        self.answered.extend(message.get("body", b""))


async def main(name: str, seconds: float, answer: bytes) -> None:
    """Check one answer, warm up, measure."""
    module, _, attribute = name.partition(":")
    caller = Caller(getattr(importlib.import_module(module), attribute))
    await caller.request()
    if caller.answered != answer:
        sys.exit(f"{name}: a wrong answer: {bytes(caller.answered)!r}")
    gc.collect()
    gc.freeze()
    await caller.requests(seconds * WARM_UP_SHARE)
    print(await caller.requests(seconds) * 1e6)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3].encode()))
