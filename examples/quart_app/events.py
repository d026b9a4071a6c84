"""The listeners to the live events of this process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

# A listener that is this far behind misses events, rather than holding them all in memory.
BEHIND = 100

Event = tuple[int, str]


class Audience:
    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[Event]] = set()

    @contextmanager
    def listen(self) -> Iterator[AsyncIterator[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue(BEHIND)
        self._listeners.add(queue)
        try:
            yield _in_turn(queue)
        finally:
            self._listeners.discard(queue)

    def tell(self, number: int, data: str) -> None:
        for queue in self._listeners:
            if not queue.full():
                queue.put_nowait((number, data))


async def _in_turn(queue: asyncio.Queue[Event]) -> AsyncIterator[Event]:
    while True:
        yield await queue.get()
