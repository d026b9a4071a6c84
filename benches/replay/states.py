"""The states of the site, each a server's command line, and how one is served, loaded and weighed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from comparison import environment, serving
from replay import load
from weigh import weigh_tree

CASE = environment.BENCHES.parent / "examples" / "case"
BEFORE, BETWEEN, AFTER = CASE / "before", CASE / "between", CASE / "after"
REST_SECONDS = 2.0
WITHIN_SECONDS = 300.0
"""For an index to be made, a server to start, or the application to fall asleep."""
JOB = "reindex=indexer:rebuild every {every}"


@dataclass(frozen=True, slots=True)
class Site:
    """The common settings of all states: the interpreter, the server, the data, and how many requests are sent."""

    python: Path
    binary: Path
    variables: dict[str, str]
    courses: int
    requests: int
    empty: Path
    """A settings file without settings: each state has its own flags."""

    def ours(self, *flags: str) -> list[str]:
        """lowmem-serve with these flags."""
        known = ("--config", str(self.empty), "--python", str(self.python), "--no-access-log")
        return [str(self.binary), "training:app", *known, *flags]

    def peer(self, name: str, *flags: str) -> list[str]:
        """Another server of the environment."""
        return [str(self.python.parent / name), "training:app", *flags]


@dataclass(frozen=True, slots=True)
class State:
    """A state of the site."""

    name: str
    words: list[str]
    folder: Path
    is_step: bool = True
    """One of the staircase; else a peer beside it."""
    parts: str | None = None
    """The parts that are done the old way, for `between`."""
    has_daemon: bool = False
    sleeps: bool = False


@dataclass(frozen=True, slots=True)
class Weighed:
    """The weight of a state in MB of 1024² (PSS of the process tree), and how long its answers took in ms."""

    name: str
    is_step: bool
    first: float
    """After the first page."""
    web: float
    """After the load; asleep, where the state sleeps."""
    indexer: float
    """Between two runs, in a process of its own."""
    first_ms: float
    median_ms: float
    first_report_ms: float
    report_ms: float
    wake_ms: float | None


def states(site: Site) -> list[State]:
    """From the first to the last, with the peers after the step that they serve, too."""
    all_old, lazy = "orm,dict,inside", ("--lazy-imports", "auto,training,plain,store")
    every = ("--job", JOB.format(every="6h"))
    one = site.ours()
    granian = site.peer("granian", "--interface", "wsgi", "--workers", "2")
    gunicorn = site.peer("gunicorn", "--workers", "2")
    asgi = site.peer("granian", "--interface", "asgi", "--workers", "1")
    uvicorn = site.peer("uvicorn", "--no-access-log")

    def step(name: str, words: list[str], parts: str, has_daemon: bool = True) -> State:
        return State(name, words, BETWEEN, parts=parts, has_daemon=has_daemon)

    last = site.ours("--lazy-imports", "auto,training,store", *every)
    return [
        State("before: Flask, 2 workers, Granian", granian, BEFORE, has_daemon=True),
        State("the same, gunicorn", gunicorn, BEFORE, is_step=False, has_daemon=True),
        step("Quart, one worker of lowmem-serve", one, all_old),
        replace(step("the same, Uvicorn", uvicorn, all_old), is_step=False),
        replace(step("the same, Granian", asgi, all_old), is_step=False),
        step("plain queries, dataclasses", one, "dict,inside"),
        step("lazy imports", site.ours(*lazy), "dict,inside"),
        step("cache on disk", site.ours(*lazy), "inside"),
        step("indexer as a job", site.ours(*lazy, *every), "inside", has_daemon=False),
        State("after: report in an isolated call", last, AFTER),
        State("the same code, Uvicorn", uvicorn, AFTER, is_step=False),
        State("the same code, Granian", asgi, AFTER, is_step=False),
        State("asleep", [*last, "--sleep-after", "3s"], AFTER, sleeps=True),
    ]


def measured(state: State, site: Site, indexer: float) -> Weighed:
    """Serve a state, send the load, and say what it weighed."""
    times = load.Times()
    with served(state, site) as (pid, port, log):
        time.sleep(REST_SECONDS)
        first = weigh_tree(pid).pss / 1024
        for request in load.requests(site.courses, site.requests):
            load.send(port, request, times)
        wake = None
        if state.sleeps:
            wait(lambda: is_told(log, b"Asleep ("), pid, log)
        time.sleep(REST_SECONDS)
        web = weigh_tree(pid).pss / 1024
        if state.sleeps:
            woken = load.Times()
            load.send(port, load.Request("list", "GET", "/"), woken)
            wake = woken.first("list")
    return Weighed(
        name=state.name,
        is_step=state.is_step,
        first=first,
        web=web,
        indexer=indexer if state.has_daemon else 0.0,
        first_ms=times.first("course"),
        median_ms=times.median(*load.WEIGHTS),
        first_report_ms=times.first("report"),
        report_ms=times.all["report"][-1],
        wake_ms=wake,
    )


@contextlib.contextmanager
def served(
    state: State, site: Site, more: dict[str, str] | None = None
) -> Iterator[tuple[int, int, IO[bytes]]]:
    """Run a state's server; its pid, its port and its log."""
    # Other servers find the package of this tree beside the site's modules.
    paths = [state.folder, environment.BENCHES.parent / "python"]
    variables = site.variables | (more or {})
    if state.parts is not None:
        paths += [BEFORE, AFTER]
        variables |= {"CASE_PARTS": state.parts}
    variables |= {"PYTHONPATH": ":".join(map(str, paths))}
    with serving.reserved_port() as port, tempfile.TemporaryFile() as log:
        place = ["--bind", f"127.0.0.1:{port}"] if "gunicorn" in state.words[0] else ["--port", str(port)]
        process = serving.start([*state.words, *place], state.folder, variables, log)
        try:
            front = load.Request("list", "GET", "/")
            wait(lambda: load.status_of(port, front) == 200, process.pid, log, process)
            yield process.pid, port, log
        except load.WrongAnswer as error:
            raise serving.NotServing(f"{state.name}: {error}{serving.tail(log)}") from error
        finally:
            serving.end(process)


@contextlib.contextmanager
def daemon(site: Site, more: dict[str, str] | None = None) -> Iterator[int]:
    """Run the indexer of the first state until it has made its index; its pid."""
    index = Path(site.variables["CASE_INDEX"])
    with tempfile.TemporaryFile() as log:
        words = [str(site.python), "indexer.py"]
        process = serving.start(words, BEFORE, site.variables | (more or {}), log)
        try:
            wait(index.exists, process.pid, log, process)
            time.sleep(REST_SECONDS)
            yield process.pid
        finally:
            serving.end(process)


def is_told(log: IO[bytes], text: bytes) -> bool:
    """Whether a log has the text by now."""
    return text in os.pread(log.fileno(), os.fstat(log.fileno()).st_size, 0)


def wait(
    done: Callable[[], bool], pid: int, log: IO[bytes], process: subprocess.Popen[bytes] | None = None
) -> None:
    """Until it is done; NotServing where the process ends before that."""
    deadline = time.monotonic() + WITHIN_SECONDS
    while not done():
        has_ended = process is not None and process.poll() is not None
        if has_ended or time.monotonic() > deadline:
            raise serving.NotServing(f"process {pid} is not ready{serving.tail(log)}")
        time.sleep(0.05)
