"""An ORM against plain queries and slotted dataclasses: the memory of 20,000 rows, and the requests per second of a
page of 200. Both are Flask on one worker of lowmem-serve; the rounds alternate."""

from __future__ import annotations

import http.client
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from comparison import serving
from replay import load, states
from weigh import weigh_tree

ROWS = 20_000
ROUNDS = 3
SECONDS = 4
HALVES = {"mapped": "SQLAlchemy", "plain": "plain queries, dataclasses"}


@dataclass(frozen=True, slots=True)
class Half:
    """One half of the pair, as measured."""

    name: str
    data: float
    """The memory of the rows, MB of 1024²."""
    rate: float
    """Requests per second."""


def measured(site: states.Site, work: Path) -> list[Half]:
    """Medians of the rounds."""
    database = work / "users.sqlite3"
    generate = [str(site.python), str(states.CASE / "generate.py"), str(database)]
    subprocess.run(
        [*generate, "--courses", str(ROWS // 5), "--words", "1"], check=True, timeout=states.WITHIN_SECONDS
    )
    variables = site.variables | {"CASE_DB": str(database)}
    data: dict[str, list[float]] = {half: [] for half in HALVES}
    rates: dict[str, list[float]] = {half: [] for half in HALVES}
    for _ in range(ROUNDS):
        for half in HALVES:
            with _served(half, site, variables) as (pid, port):
                rates[half].append(_rate(port))
                time.sleep(1)
                lighter = weigh_tree(pid).pss
                if load.status_of(port, load.Request("hold", "GET", "/hold")) != 200:
                    raise serving.NotServing(f"{half}: /hold")
                data[half].append((weigh_tree(pid).pss - lighter) / 1024)
    return [
        Half(name, statistics.median(data[half]), statistics.median(rates[half]))
        for half, name in HALVES.items()
    ]


@contextmanager
def _served(half: str, site: states.Site, variables: dict[str, str]) -> Iterator[tuple[int, int]]:
    words = site.ours()
    words[1] = f"{half}:app"
    page = load.Request("page", "GET", "/page")
    with serving.reserved_port() as port, tempfile.TemporaryFile() as log:
        process = serving.start([*words, "--port", str(port)], states.CASE / "pair", variables, log)
        try:
            states.wait(lambda: load.status_of(port, page) == 200, process.pid, log, process)
            yield process.pid, port
        finally:
            serving.end(process)


def _rate(port: int) -> float:
    """By one client on one connection: its own share of the time is the same in both halves."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    begun, count = time.monotonic(), 0
    while (passed := time.monotonic() - begun) < SECONDS:
        connection.request("GET", f"/page?from={count * 37 % ROWS}")
        if not re.match(rb"\[", connection.getresponse().read()):
            raise serving.NotServing("/page: a wrong answer")
        count += 1
    connection.close()
    return count / passed
