"""What job runners weigh while nothing runs, how soon they begin, and what ours loses: nothing.

    python benches/jobs.py [--only idle,begin,start,index,queue,calls] [--install]

Celery, huey, APScheduler and RQ are those of this Python's environment; `--install` makes one in `benches/.venv-jobs`
with their newest releases, and runs there. A peer that is not installed is left out with the reason; RQ needs
redis-server, and Celery uses it where it is there. Each row is bounded by `--limit` seconds. The rows:

idle    the process tree between two runs, every runner importing one empty Quart application where it has to
begin   from enqueue to the first line of the function, one task after the other
start   from the time of a schedule to the process, and to the first line of the function
index   an indexer that imports SQLAlchemy, pandas and boto3 and takes 500 MB: the process tree before, at most, after
queue   `--tasks` tasks, enqueued during `--recycles` recycles and one restart of the server
calls   `--calls` isolated calls that take `--memory` MB, and the other requests meanwhile, in turns with seconds without
        calls; once as the client sees them, once without the time for which worker and client waited for a processor
        (`/proc/PID/schedstat`), which on a shared machine is mostly for others
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "python")]

import weigh  # noqa: E402
from scheduling import peers  # noqa: E402
from scheduling.peers import Place, Runner  # noqa: E402

BINARY = Path(os.environ.get("LOWMEM_SERVE_BIN", HERE.parent / "target/release/lowmem-serve"))
ENVIRONMENT = HERE / ".venv-jobs"
PACKAGES = ["quart", "celery[redis]", "packaging", "huey", "apscheduler<4", "rq", "redis"]
INDEXER = ["sqlalchemy", "pandas", "boto3"]
ROWS = ["idle", "begin", "start", "index", "queue", "calls"]
STEADY = 2.0
"""Seconds for which a tree must not change before it is weighed."""
STOP_WITHIN = 20.0
CALLS_OF_A_ROUND = 50


def install() -> None:
    """Makes the environment, and goes on in it."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", *PACKAGES, *INDEXER], check=True)
    arguments = [argument for argument in sys.argv if argument != "--install"]
    os.execv(python, [str(python), *arguments])


@contextlib.contextmanager
def running(commands: list[list[str]], place: Place) -> Iterator[list[subprocess.Popen]]:
    """The processes of a runner, which end with all that they have started."""
    path = os.pathsep.join(sys.path[:2])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "RUNTIME_DIRECTORY": str(place.directory),
        **place.environment,
    }
    log = (place.directory / "log").open("ab")
    started = [
        subprocess.Popen(
            command,
            cwd=HERE,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        for command in commands
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[str | None]:
    """The address of a Redis server, if there is a program for it."""
    program = peers.redis_server()
    if program is None:
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(directory)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: connects(port), 10)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(STOP_WITHIN)


def connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(seen: Callable[[], object], within: float) -> bool:
    end = time.monotonic() + within
    while not seen():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def place(asked: argparse.Namespace) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="lowmem-jobs-") as name, redis(Path(name)) as address:
        made = Place(Path(name), asked.binary, address)
        os.environ.update(made.environment, LOWMEM_STATE_DIR=made.state)
        yield made


def runners(made: Place) -> list[Runner]:
    fresh = peers.lowmem(made)
    return [fresh, peers.huey(made), peers.apscheduler(made), peers.celery(made), peers.rq(made)]


def settled(trees: list[int], least: int, limit: float) -> weigh.Weight:
    """The weight of process trees once it stays as it is."""
    end, since, before = time.monotonic() + limit, time.monotonic(), 0
    while True:
        time.sleep(0.25)
        weight = sum(map(weigh.weigh_tree, trees), weigh.NOTHING)
        if weight.processes < least or abs(weight.pss - before) > 64:
            since, before = time.monotonic(), weight.pss
        if time.monotonic() - since > STEADY or time.monotonic() > end:
            return weight


def idle(asked: argparse.Namespace) -> None:
    print("\n| nothing runs | PSS, MB | written to, MB | processes |\n|---|---|---|---|")
    left_out = []
    for number in range(5):
        with place(asked) as made:
            runner = runners(made)[number]
            if runner.why_not:
                left_out.append(f"{runner.name} ({runner.why_not})")
                continue
            with running(runner.commands, made) as started:
                weight = settled([own.pid for own in started], runner.ready_after, asked.limit)
            if weight.processes < runner.ready_after:
                left_out.append(f"{runner.name} (it did not start)")
            else:
                row(runner.name, weight)
    for name, flags in (("a web application (Quart) alone", []), ("the same with a job and a queue", None)):
        with place(asked) as made:
            jobs = ["--job", "hourly=scheduling.work:mark every 1h", "--queue"] if flags is None else flags
            command = peers.ours(made, "--port", "0", *jobs, app="scheduling.work:app")
            with running([command], made) as started:
                row(name, settled([started[0].pid], 2, asked.limit))
    if left_out:
        print(f"\nLeft out: {', '.join(left_out)}.")


def row(name: str, weight: weigh.Weight) -> None:
    print(
        f"| {name} | {weight.pss / 1024:.1f} | {weight.dirty / 1024:.1f} | {weight.processes} |", flush=True
    )


def marked(made: Place) -> dict[int, list[float]]:
    """When each number was marked."""
    found: dict[int, list[float]] = {}
    text = made.marks.read_text() if made.marks.exists() else ""
    for line in text.splitlines():
        number, at = line.split()
        found.setdefault(int(number), []).append(float(at))
    return found


def begin(asked: argparse.Namespace) -> None:
    print("\n| from enqueue to the function's first line | median, ms | worst, ms |\n|---|---|---|")
    for number in range(6):
        with place(asked) as made:
            all_runners = [*runners(made), peers.lowmem(made, "template")]
            runner = all_runners[number]
            if runner.why_not or runner.enqueue is None:
                continue
            with running(runner.commands, made) as started:
                settled([own.pid for own in started], runner.ready_after, asked.limit / 4)
                times = began_after(runner.enqueue, made, asked)
            text = f"{statistics.median(times):.0f} | {max(times):.0f}" if times else "- | -"
            print(f"| {runner.name} | {text} |", flush=True)


def began_after(enqueue: Callable[[int], object], made: Place, asked: argparse.Namespace) -> list[float]:
    end, times = time.monotonic() + asked.limit, []
    for number in range(1, asked.begins + 2):
        before = time.time()
        enqueue(number)
        if not wait_for(
            lambda number=number: number in marked(made), min(20, max(end - time.monotonic(), 0))
        ):
            break
        # The first wakes what had nothing to do yet.
        if number > 1:
            times.append((marked(made)[number][0] - before) * 1000)
        time.sleep(0.05)
    return times


def start(asked: argparse.Namespace) -> None:
    print(
        "\n| after its time, ms | the process, median | worst | the first line, median | worst |\n|---|---|---|---|---|"
    )
    for word in ("fresh", "template"):
        with place(asked) as made:
            flags = ["--job", f'tick=scheduling.marking:mark cron "*/2 * * * * *" start {word}']
            serving = ["--preload", "--port", "0"] if word == "template" else []
            command = peers.ours(made, *flags, *serving, app="scheduling.work:app" if serving else "")
            with running([command], made) as started:
                wait_for(lambda: len(marked(made).get(0, [])) > asked.begins, asked.limit)
                history = [asked.binary, "jobs", "history", "tick", "--json", str(started[0].pid)]
                environment = {**os.environ, "RUNTIME_DIRECTORY": str(made.directory)}
                told = subprocess.run(history, capture_output=True, text=True, env=environment, check=True)
            # The first run waits for what the server has to do at its start.
            first = [at % 2 for at in marked(made)[0][1:]]
        runs = json.loads(told.stdout)
        began = [timestamp(run["started"]) - timestamp(run["due"]) for run in runs if run["due"]][1:]
        cells = [f"{f(times) * 1000:.1f}" for times in (began, first) for f in (statistics.median, max)]
        print(f"| {word} | {' | '.join(cells)} |", flush=True)


def timestamp(text: str) -> float:
    # Nanoseconds are more than it reads.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


def index(asked: argparse.Namespace) -> None:
    print("\n| written to, MB | before | at most | after | processes after |\n|---|---|---|---|---|")
    for number in range(5):
        with place(asked) as made:
            runner = runners(made)[number]
            if runner.why_not or runner.reindex is None:
                print(f"| {runner.name} | left out: {runner.why_not} | | | |", flush=True)
                continue
            with running(runner.commands, made) as started:
                trees = [own.pid for own in started]
                before = settled(trees, runner.ready_after, asked.limit)
                runner.reindex(trees[0])
                most, end = before.dirty, time.monotonic() + asked.limit
                while not marked(made) and time.monotonic() < end:
                    most = max(most, sum(map(weigh.weigh_tree, trees), weigh.NOTHING).dirty)
                    time.sleep(0.1)
                # A worker may be replaced, a process may end.
                time.sleep(STEADY)
                after = settled(trees, runner.ready_after, asked.limit)
            sizes = " | ".join(f"{size / 1024:.1f}" for size in (before.dirty, most, after.dirty))
            print(f"| {runner.name} | {sizes} | {after.processes} |", flush=True)


def queue(asked: argparse.Namespace) -> None:
    from lowmem_serve import jobs

    with place(asked) as made:
        flags = [
            "--queue",
            "--queue-concurrent",
            "4",
            "--queue-start",
            "template",
            "--preload",
            "--port",
            "0",
        ]
        command = peers.ours(made, *flags, app="scheduling.work:app")
        begun, half = time.monotonic(), asked.tasks // 2

        def enqueue(first: int, last: int) -> None:
            for number in range(first, last + 1):
                key = f"k{number}" if number % 10 == 0 else None
                jobs.enqueue("scheduling.work:mark", number, key=key)

        with running([command], made) as started:
            wait_for(lambda: (Path(made.state) / "queue" / "tasks").exists(), asked.limit)
            recycling = threading.Thread(target=recycle, args=(started[0].pid, asked.recycles))
            recycling.start()
            enqueue(1, half)
            recycling.join()
        with running([command], made):
            enqueue(half + 1, asked.tasks)
            left = asked.limit - (time.monotonic() - begun)
            is_over = wait_for(
                lambda: not any((Path(made.state) / "queue" / "tasks").iterdir()), max(left, 1)
            )
        times = Counter(len(times) for times in marked(made).values())
        waiting = sum(1 for _ in (Path(made.state) / "queue" / "tasks").iterdir())
        lost = asked.tasks - sum(times.values()) - waiting
        print(
            f"\n{asked.tasks:,} tasks, {asked.recycles} recycles, one restart: {times[1]:,} once, "
            f"{sum(times.values()) - times[1]:,} more often, {lost} lost"
            f"{'' if is_over else f', {waiting:,} not begun within the time'}, {time.monotonic() - begun:.0f} s"
        )


def recycle(supervisor: int, times: int) -> None:
    for _ in range(times):
        time.sleep(1)
        os.kill(supervisor, signal.SIGHUP)


@dataclass
class Answers:
    """Milliseconds of requests: as the client sees them, without the time for which it waited for a processor itself (it
    would have another machine), and without that of the worker, too."""

    seen: list[float] = field(default_factory=list)
    served: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)


def calls(asked: argparse.Namespace) -> None:
    alone, beside, left = Answers(), Answers(), 0.0
    with place(asked) as made:
        command = peers.ours(made, "--preload", "--port", "0", "--no-access-log", app="scheduling.served:app")
        command.remove("--state-dir")
        command.remove(made.state)
        with running([command], made):
            log = made.directory / "log"
            wait_for(lambda: re.search(r"running on (http://\S+)", log.read_text()), asked.limit)
            found = re.search(r"running on (http://\S+)", log.read_text())
            if found is None:
                raise SystemExit(f"{asked.binary} does not start:\n{log.read_text()}")
            address = found[1]
            worker = int(get(f"{address}/pid", asked.limit))
            # Before they are compared: the event loop, the first processes.
            get(f"{address}/calls?{4 * (os.cpu_count() or 1)}x1", asked.limit)
            rounds = max(asked.calls // CALLS_OF_A_ROUND, 1)
            end, made_calls = time.monotonic() + asked.limit, 0
            for _ in range(rounds):
                answers(address, worker, alone, threading.Event(), 3)
                over, told = threading.Event(), []
                making = threading.Thread(
                    target=lambda told=told, over=over: told.append(make(address, asked, over))
                )
                making.start()
                answers(address, worker, beside, over, asked.limit)
                making.join()
                left += float(told[0])
                made_calls += asked.calls // rounds
                if time.monotonic() > end:
                    break
    print(f"\n{made_calls:,} calls that take {asked.memory} MB: {left:+.2f} MB in the worker.\n")
    print(
        "| other requests, ms | p50 alone | beside calls | p99 alone | beside calls | ratio |\n|---|---|---|---|---|---|"
    )
    for name, one, two in (
        ("as the client sees them", alone.seen, beside.seen),
        ("without the client's waits for a processor", alone.served, beside.served),
        ("without the worker's, too", alone.own, beside.own),
    ):
        cells = [f"{percentile(times, at):.2f}" for at in (50, 99) for times in (one, two)]
        print(
            f"| {name} | {' | '.join(cells)} | {percentile(two, 99) / percentile(one, 99):.2f} |", flush=True
        )


def make(address: str, asked: argparse.Namespace, over: threading.Event) -> str:
    try:
        count = min(asked.calls, CALLS_OF_A_ROUND)
        return get(f"{address}/calls?{count}x{asked.memory}", asked.limit)
    finally:
        over.set()


def get(url: str, timeout: float) -> str:
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return answer.read().decode()


def waited(process: int | str) -> float:
    """Milliseconds for which a process waited for a processor while it could have run."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e6


def answers(address: str, worker: int, into: Answers, over: threading.Event, within: float) -> None:
    """Requests on one connection, a hundred a second, until it is over."""
    end = time.monotonic() + within
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=within)
    while not over.is_set() and time.monotonic() < end:
        worker_before, client_before = waited(worker), waited("thread-self")
        begun = time.perf_counter()
        connection.request("GET", "/")
        connection.getresponse().read()
        took = (time.perf_counter() - begun) * 1000
        served = took - (waited("thread-self") - client_before)
        into.seen.append(took)
        into.served.append(max(served, 0.001))
        into.own.append(max(served - (waited(worker) - worker_before), 0.001))
        time.sleep(0.01)
    connection.close()


def percentile(times: list[float], at: int) -> float:
    return statistics.quantiles(times, n=100)[at - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=BINARY)
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--only", default=",".join(ROWS), type=lambda text: text.split(","))
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--begins", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--recycles", type=int, default=20)
    parser.add_argument("--calls", type=int, default=1_000)
    parser.add_argument("--memory", type=int, default=300)
    asked = parser.parse_args()
    if asked.install:
        install()
    if not asked.binary.exists() or not set(asked.only) <= set(ROWS):
        parser.error(
            f"there is no {asked.binary}" if not asked.binary.exists() else f"rows are {', '.join(ROWS)}"
        )
    asked.binary = asked.binary.resolve()
    version = subprocess.run([asked.binary, "--version"], capture_output=True, text=True).stdout.split(
        " with"
    )[0]
    print(
        f"{version}; Python {sys.version.split()[0]}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    for name in asked.only:
        rows = {"idle": idle, "begin": begin, "start": start, "index": index, "queue": queue, "calls": calls}
        rows[name](asked)


if __name__ == "__main__":
    main()
