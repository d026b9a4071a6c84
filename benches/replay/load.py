"""The requests of the case: a list with a fixed seed, and a client that sends them one after the other."""

from __future__ import annotations

import http.client
import random
import statistics
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

SEED = 21
WEIGHTS = {"course": 70, "list": 12, "search": 10, "login": 8}
REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and the status of the right answer."""

    kind: str
    method: str
    path: str
    body: str | None = None


class WrongAnswer(Exception):
    """The site did not answer, or with another status than 200."""


@dataclass(slots=True)
class Times:
    """How long the answers took, in milliseconds, by the kind of request."""

    all: dict[str, list[float]] = field(default_factory=dict)

    def first(self, kind: str) -> float:
        """The first answer of a kind: it pays for what is imported at its first use."""
        return self.all[kind][0]

    def median(self, *kinds: str) -> float:
        """Over all answers of these kinds."""
        return statistics.median(time for kind in kinds for time in self.all.get(kind, []))


def requests(courses: int, count: int, reports: Iterable[int] | None = None) -> Iterator[Request]:
    """So many requests; those with the numbers in `reports` ask for the report, by default two of them."""
    chance = random.Random(SEED)
    drawn = {count // 3, count * 2 // 3} if reports is None else set(reports)
    for number in range(count):
        user = chance.randint(1, courses * 5)
        kind = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if number in drawn:
            yield Request("report", "GET", "/report.png")
        elif kind == "course":
            yield Request(kind, "GET", f"/courses/{chance.randint(1, courses)}")
        elif kind == "list":
            yield Request(kind, "GET", "/")
        elif kind == "search":
            yield Request(kind, "GET", f"/search?q={chance.choice('bdfgkl')}a{chance.choice('mnprst')}e")
        else:
            yield Request(kind, "POST", "/login", f"user={user}&password=secret{user}")


def send(port: int, request: Request, times: Times) -> None:
    """Send it on a connection of its own and note how long the answer took."""
    began = time.perf_counter()
    status = status_of(port, request)
    if status != 200:
        raise WrongAnswer(f"{request.method} {request.path}: {status or 'no answer'}")
    times.all.setdefault(request.kind, []).append((time.perf_counter() - began) * 1000)


def status_of(port: int, request: Request) -> int | None:
    """Return the status of the answer; None while nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    headers = {"Connection": "close", "Content-Type": "application/x-www-form-urlencoded"}
    try:
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
