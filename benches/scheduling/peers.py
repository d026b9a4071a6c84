"""How each job runner is started, and how a task comes into its queue."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path


@dataclass
class Place:
    """A directory of a run's own, and what its processes find in their environment."""

    directory: Path
    binary: Path
    redis: str | None
    """The address of a Redis server, if one could be started."""

    @property
    def environment(self) -> dict[str, str]:
        broker = self.redis or "filesystem://"
        return {"MARKS": str(self.marks), "FOLDER": str(self.directory), "BROKER": broker}

    @property
    def marks(self) -> Path:
        return self.directory / "marks"

    @property
    def state(self) -> str:
        return str(self.directory / "state")


@dataclass
class Runner:
    """A job runner: its processes, and why it cannot be had here."""

    name: str
    commands: list[list[str]] = field(default_factory=list)
    enqueue: Callable[[int], object] | None = None
    why_not: str | None = None
    reindex: Callable[[int], object] | None = None
    """Has the indexer run; a number that it marks at its end, or the process to ask."""
    ready_after: int = 1
    """So many processes at least are there once it is ready."""


def ours(place: Place, *flags: str, app: str = "") -> list[str]:
    served = [app] if app else ["--jobs-only"]
    own = [
        "--state-dir",
        place.state,
        "--python",
        sys.executable,
        "--app-dir",
        str(Path(__file__).parents[1]),
    ]
    return [str(place.binary), *served, *own, *flags]


def lowmem(place: Place, start: str = "fresh") -> Runner:
    from lowmem_serve import jobs

    flags = ["--job", "hourly=scheduling.work:mark every 1h", "--queue", "--queue-start", start]
    serving = ["--preload", "--port", "0"] if start == "template" else []
    app = "scheduling.work:app" if serving else ""
    return Runner(
        f"lowmem-serve, {start}" + (" (with its web worker)" if serving else " (`--jobs-only`)"),
        [ours(place, *flags, *serving, app=app)],
        lambda number: jobs.enqueue("scheduling.work:mark", number),
        reindex=lambda _: jobs.enqueue("scheduling.indexing:reindex", 1),
    )


def celery(place: Place) -> Runner:
    if find_spec("celery") is None:
        return Runner("Celery, worker and beat", why_not="celery is not installed")
    command = [sys.executable, "-m", "celery", "-A", "scheduling.by_celery:celery", "--quiet"]
    beat = ["beat", "--schedule", str(place.directory / "beat"), "--pidfile="]

    def enqueue(number: int) -> None:
        from scheduling import by_celery

        by_celery.mark.delay(number)

    def reindex(_: int) -> None:
        from scheduling import by_celery

        by_celery.reindex.delay(1)

    worker = [
        "worker",
        "--concurrency",
        "1",
        "--max-tasks-per-child",
        "1",
        "--without-gossip",
        "--without-mingle",
    ]
    commands = [[*command, *worker], [*command, *beat]]
    return Runner("Celery, worker and beat", commands, enqueue, reindex=reindex, ready_after=3)


def huey(place: Place) -> Runner:
    if find_spec("huey") is None:
        return Runner("huey", why_not="huey is not installed")

    def enqueue(number: int) -> None:
        from scheduling import by_huey

        by_huey.mark(number)

    def reindex(_: int) -> None:
        from scheduling import by_huey

        by_huey.reindex(1)

    consumer = [sys.executable, "-m", "huey.bin.huey_consumer", "scheduling.by_huey.huey", "-w", "1", "-q"]
    return Runner("huey, its worker a thread", [consumer], enqueue, reindex=reindex)


def apscheduler(_: Place) -> Runner:
    if find_spec("apscheduler") is None:
        return Runner("APScheduler", why_not="apscheduler is not installed")
    command = [sys.executable, "-m", "scheduling.by_apscheduler"]
    ask = lambda process: os.kill(process, signal.SIGUSR1)  # noqa: E731
    return Runner("APScheduler, in the process", [command], reindex=ask)


def rq(place: Place) -> Runner:
    if find_spec("rq") is None or place.redis is None:
        missing = "redis-server" if find_spec("rq") else "rq"
        return Runner("RQ", why_not=f"{missing} is not installed")

    def queue():
        from redis import Redis
        from rq import Queue

        return Queue(connection=Redis.from_url(place.redis or ""))

    worker = [sys.executable, "-m", "rq.cli", "worker", "--quiet", "--with-scheduler", "--url", place.redis]
    return Runner(
        "RQ, worker with scheduler",
        [worker],
        lambda number: queue().enqueue("scheduling.work.mark", number),
        reindex=lambda _: queue().enqueue("scheduling.indexing.reindex", 1),
    )


def redis_server() -> str | None:
    return shutil.which("redis-server")
