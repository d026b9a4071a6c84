"""The requests and responses of the clients."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of requests, as the metrics tell them apart."""

    app: str
    version: str
    method: str
    status: int


class Asked(NamedTuple):
    """A request, and the kind of its response."""

    kind: Kind
    path: str

    def __str__(self) -> str:
        return f"{self.kind.method} {self.path} by {self.kind.app} over HTTP/{self.kind.version}"


class Tally:
    """The requests of all clients."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.begun = 0
        self.answered: Counter[Kind] = Counter()
        self.ends: list[tuple[float, Kind]] = []
        """When responses were read."""
        self.lost: Counter[Asked] = Counter()
        """The requests in flight when their worker was killed."""
        self.again = 0
        """Requests that were pipelined behind the last response of a connection, or in a stream beyond the
        last that a worker takes. They are asked again."""
        self.ways: Counter[str] = Counter()
        """Responses by the way in which the client asks."""
        self._reached: dict[int, asyncio.Event] = {}

    @property
    def is_over(self) -> bool:
        return self.begun >= self.wanted

    async def reached(self, count: int) -> None:
        """Wait until so many requests have begun."""
        if self.begun < count:
            await self._reached.setdefault(count, asyncio.Event()).wait()

    def begin(self, count: int = 1) -> None:
        self.begun += count
        for wanted in [wanted for wanted in self._reached if wanted <= self.begun]:
            self._reached.pop(wanted).set()

    def has_answered(self, asked: Asked, way: str) -> None:
        self.answered[asked.kind] += 1
        self.ends.append((time.monotonic(), asked.kind))
        self.ways[way] += 1

    def ask_again(self, count: int) -> None:
        """So many have been taken by no worker."""
        self.again += count
        self.begun -= count

    def near(self, moments: list[float], around: float) -> Counter[Kind]:
        """The responses that were read so short before or after one of these moments."""
        found = Counter(
            kind for end, kind in self.ends if any(abs(end - moment) <= around for moment in moments)
        )
        return +found
