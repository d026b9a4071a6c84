"""One run: clients of all kinds, recycles and kills in between, and what the status server says of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from counting.clients import WAYS, Client, ask
from counting.tally import Kind, Tally

APPS = ("asgi", "wsgi")
AROUND = 1.0
"""Seconds around a kill in which a response may have been written and not counted, or read late."""

MOST_AT_ONCE = 8 * len(WAYS)
"""Requests that are open at once: as many as a client pipelines, of each client."""

SETTLED_WITHIN = 20.0
READY_WITHIN = 60.0
RUNNING = "lowmem-serve running on"
RECYCLED = "Recycled worker"


class Served(Protocol):
    """A server with a status server, and its log."""

    pid: int

    def count(self, text: str) -> int: ...
    def wait(self, text: str, times: int = 1) -> None: ...
    def scrape(self, path: str = "/metrics") -> str: ...


@dataclass
class Outcome:
    """The counts of the clients, and those of the server."""

    tally: Tally
    counted: Counter[Kind] = field(default_factory=Counter)
    recycles: int = 0
    crashes: int = 0
    kills: list[float] = field(default_factory=list)

    @property
    def unseen(self) -> Counter[Kind]:
        """Counted, and not read by a client."""
        return self.counted - self.tally.answered

    @property
    def uncounted(self) -> Counter[Kind]:
        """Read by a client, and not counted."""
        return self.tally.answered - self.counted

    def is_right(self) -> bool:
        """To the request, but for what was in flight at a kill."""
        lost: Counter[Kind] = Counter()
        for asked, count in self.tally.lost.items():
            lost[asked.kind] += count
        if not self.kills:
            return not (self.unseen or self.uncounted or lost)
        near = self.tally.near(self.kills, AROUND)
        are_bounded = self.uncounted.total() <= MOST_AT_ONCE * len(self.kills)
        return self.unseen <= lost and self.uncounted <= near and are_bounded


def settings(directory: Path, applications: Path) -> Path:
    """A settings file with an ASGI application, which has static files, and a WSGI application."""
    files = directory / "files"
    files.mkdir()
    (files / "page.txt").write_text("a page")
    text = 'status-bind = "127.0.0.1:0"\nshare = "off"\n'
    for name, module, more in (
        ("asgi", "kinds", f'static = ["/files={files}"]\n'),
        ("wsgi", "kinds_wsgi", 'interface = "wsgi"\n'),
    ):
        text += f'[apps.{name}]\napp = "{module}:app"\ndirectory = "{applications}"\n'
        text += f'bind = ["unix:{directory}/{name}.sock"]\n{more}'
    file = directory / "counts.toml"
    file.write_text(text)
    return file


def run(served: Served, directory: Path, wanted: int, recycles: int, kills: int) -> Outcome:
    """Ask so many requests, with so many recycles of each application and kills between them."""
    for name in APPS:
        served.wait(f"[{name}] {RUNNING}")
    outcome = Outcome(Tally(wanted))
    with closed_quietly():
        asyncio.run(_drive(served, directory, outcome, recycles, kills))
    deadline = time.monotonic() + SETTLED_WITHIN
    while True:
        # A response is read before it is counted.
        outcome.counted = counted(served)
        if outcome.is_right() or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    text = served.scrape()
    outcome.recycles = _total(text, "lowmem_recycles_total")
    outcome.crashes = _total(text, "lowmem_worker_crashes_total")
    return outcome


async def _drive(served: Served, directory: Path, outcome: Outcome, recycles: int, kills: int) -> None:
    tally = outcome.tally
    clients = [
        asyncio.create_task(ask(Client(app, str(directory / f"{app}.sock"), tally, random.Random(seed)), way))
        for seed, (app, way) in enumerate(WAYS)
    ]
    for step, event in enumerate(_events(recycles, kills)):
        await tally.reached(tally.wanted * (step + 1) // (recycles + kills + 1))
        await asyncio.to_thread(_happen, served, event, outcome)
    await asyncio.gather(*clients)


def _events(recycles: int, kills: int) -> Iterator[str]:
    """Recycles, and evenly between them kills of the one application and the other."""
    steps = recycles + kills
    kill_at = {round((number + 0.5) * steps / kills): number for number in range(kills)}
    for step in range(steps):
        yield "recycle" if step not in kill_at else APPS[kill_at[step] % len(APPS)]


def _happen(served: Served, event: str, outcome: Outcome) -> None:
    if event == "recycle":
        done = served.count(RECYCLED)
        os.kill(served.pid, signal.SIGHUP)
        served.wait(RECYCLED, done + len(APPS))
        return
    (worker,) = _ready(served, event)
    outcome.kills.append(time.monotonic())
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + READY_WITHIN
    while _ready(served, event) in ([], [worker]):
        assert time.monotonic() < deadline, f"{event} has no worker after a kill"
        time.sleep(0.02)


def _ready(served: Served, name: str) -> list[int]:
    applications = json.loads(served.scrape("/status"))["applications"]
    workers = next(own["workers"] for own in applications if own["name"] == name)
    return [worker["pid"] for worker in workers if worker["stage"] == "ready"]


def counted(served: Served) -> Counter[Kind]:
    """The requests that were counted."""
    found: Counter[Kind] = Counter()
    for line in served.scrape().splitlines():
        if line.startswith("http_server_request_duration_seconds_count"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            kind = Kind(
                labels["app"],
                labels["network_protocol_version"],
                labels["http_request_method"],
                int(labels.get("http_response_status_code", 0)),
            )
            found[kind] += int(line.split()[-1])
    return found


def _total(text: str, name: str) -> int:
    return sum(int(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{"))


@contextmanager
def closed_quietly() -> Iterator[None]:
    """asyncio tells of writes to connections whose worker was killed, after the fifth of them."""
    import logging

    logger = logging.getLogger("asyncio")
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)
