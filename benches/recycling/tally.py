"""The observations of the clients."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from recycling.waits import Waits
from recycling.wire import Failed, Failure

EXAMPLES = 40
"""Failures that are kept with their time and detail; beyond that they are only counted."""

LONG_STALL_SECONDS = 0.1
"""Stalls beyond it are counted."""


class Kind(StrEnum):
    """The kinds of client."""

    KEEP_ALIVE = "keep-alive"
    PER_REQUEST = "connection per request"
    IDLE = "idle keep-alive"
    FRESH = "fresh, silent at first"
    STREAM = "streamed response"
    UPLOAD = "upload"
    WEBSOCKET = "websocket"
    EVENTS = "events"


@dataclass(slots=True)
class Count:
    """One kind's exchanges."""

    answered: int = 0
    failed: Counter[Failure] = field(default_factory=Counter)
    longest_stall: float = 0.0
    """Seconds from a request (or the attempt to connect for it) to the first byte of its answer;
    for what is streamed also the longest delay of a part."""
    long_stalls: int = 0


@dataclass(slots=True)
class Example:
    """One failure."""

    at: float
    """Seconds from the beginning of the load."""
    kind: Kind
    failure: Failure
    detail: str


class Tally:
    """Every client's counts, kept on one thread."""

    def __init__(self, seconds: float) -> None:
        self.began = time.monotonic()
        self.ends = self.began + seconds
        """When no further exchange begins (s, as `began`)."""
        self.kinds = {kind: Count() for kind in Kind}
        self.examples: list[Example] = []
        self.workers: dict[int, float] = {}
        """The pid of each worker that has answered, and when it first did (s)."""
        self.websocket_ends: Counter[str] = Counter()
        """Close codes that the server sent, and `cut` for connections without one."""
        self.event_ends: Counter[str] = Counter()
        """`complete` or `cut`."""
        self.events = 0
        self.longest_silence = 0.0
        """The longest time (s) in which no client at all was answered."""
        self.own_lag = 0.0
        """How late (s) the load generator itself has been at most: stalls may be its fault as far."""
        self.waits: Waits | None = None
        """How long the server waited for a CPU, if that was watched: the machine's fault as far."""
        self.moved = 0
        """How often a client went to another connection because the server asked for it, by GOAWAY or by
        closing an idle TLS connection."""
        self.sent_again = 0
        """Requests that GOAWAY said had not been looked at, sent again."""
        self.skipped: list[str] = []
        """Kinds of clients that did not take part, with the reason."""
        self._last_answer = self.began

    def answered(self, kind: Kind, stall: float, pid: int | None) -> None:
        """Count a completed exchange."""
        now = time.monotonic()
        count = self.kinds[kind]
        count.answered += 1
        self.stalled(kind, stall)
        if now < self.ends:
            self.longest_silence = max(self.longest_silence, now - self._last_answer)
            self._last_answer = now
        if pid is not None and pid not in self.workers:
            self.workers[pid] = now - self.began

    def stalled(self, kind: Kind, stall: float) -> None:
        """Note how long (s) an exchange stood still."""
        count = self.kinds[kind]
        count.longest_stall = max(count.longest_stall, stall)
        count.long_stalls += stall > LONG_STALL_SECONDS

    def failed(self, kind: Kind, error: Failed) -> None:
        """Count a failed exchange."""
        self.kinds[kind].failed[error.failure] += 1
        if len(self.examples) < EXAMPLES:
            at = round(time.monotonic() - self.began, 3)
            self.examples.append(Example(at, kind, error.failure, error.detail))

    @property
    def exchanges(self) -> int:
        """All exchanges, failed ones too."""
        return sum(count.answered for count in self.kinds.values()) + self.failures

    @property
    def failures(self) -> int:
        """All failed exchanges."""
        return sum(count.failed.total() for count in self.kinds.values())

    def failures_of(self, *failures: Failure) -> int:
        """Failed exchanges that failed in one of these ways."""
        return sum(count.failed[failure] for count in self.kinds.values() for failure in failures)

    @property
    def worst(self) -> tuple[float, Kind]:
        """The longest stall (s), and of what."""
        return max((count.longest_stall, kind) for kind, count in self.kinds.items())

    def excused(self, stall: float) -> float:
        """How much (s) of a stall of this length (s) may be the load generator's fault or the machine's."""
        return self.own_lag + (self.waits.at_most(stall) if self.waits else 0.0)

    def what_failed(self) -> dict[str, int]:
        """Return how often each kind failed in each way."""
        return {
            f"{kind}: {failure}": times
            for kind, count in self.kinds.items()
            for failure, times in count.failed.items()
        }
