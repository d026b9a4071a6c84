"""What a call in a process of its own costs over the function's own time: ours beside what people write by hand.

    python benches/isolated.py [--calls 15] [--memory 300] [--binary target/release/lowmem-serve]

The call that starts from a template is made by an application with `--preload` (`isolated_served.py`), which tells its
time; it is left out without the executable.
Peers that are not installed (loky, pebble) are left out. Each call has a process that no other call has used. The calls
of one way follow each other without a pause: a pool starts its next process when the last has ended and keeps it for
the next call, which is quick after a pause, and memory meanwhile.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "python"), str(Path(__file__).resolve().parent)]
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])

import isolated_work as functions  # noqa: E402
from lowmem_serve import isolated  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
BINARY = Path(os.environ.get("LOWMEM_SERVE_BIN", ROOT / "target/release/lowmem-serve"))
RUNNING = re.compile(r"running on (http://\S+)")
STOP_WITHIN = 30

Way = Callable[[], object]


def ways() -> dict[str, Way]:
    found: dict[str, Way] = {"`isolated`, fresh": lambda: isolated.sync(functions.nothing)}
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        pool = ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1)
        found[f"ProcessPoolExecutor, {method}"] = lambda pool=pool: pool.submit(functions.nothing).result()
    try:
        from loky import ProcessPoolExecutor as Loky
    except ImportError:
        pass
    else:

        def by_loky() -> object:
            with Loky(max_workers=1) as pool:
                return pool.submit(functions.nothing).result()

        found["loky, a pool for each call"] = by_loky
    try:
        from pebble import ProcessPool
    except ImportError:
        pass
    else:
        pebble = ProcessPool(max_workers=1, max_tasks=1, context=multiprocessing.get_context("spawn"))
        found["pebble, spawn"] = lambda: pebble.schedule(functions.nothing).result()
    return found


@contextlib.contextmanager
def served(binary: Path) -> Iterator[Callable[[], float]]:
    """What asks a server with a template for the milliseconds that a call takes."""
    command = [
        binary,
        "isolated_served:app",
        "--preload",
        "--no-access-log",
        "--port",
        "0",
        "--app-dir",
        ROOT / "benches",
    ]
    server = subprocess.Popen(
        [*map(str, command), "--python", sys.executable], stderr=subprocess.PIPE, text=True
    )
    try:
        lines = iter(server.stderr or ())
        found = next((found for line in lines if (found := RUNNING.search(line))), None)
        if found is None:
            raise SystemExit(f"{binary} does not start")

        def ask() -> float:
            with urllib.request.urlopen(found[1], timeout=STOP_WITHIN) as answer:
                return json.load(answer)

        yield ask
    finally:
        server.terminate()
        server.communicate(timeout=STOP_WITHIN)


def private() -> float:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty:")) / 1024
    )


async def heavy(calls: int, megabytes: int) -> float:
    """What calls that take memory leave in the caller, in MB."""
    await isolated(functions.take, megabytes)
    before = private()
    for _ in range(calls):
        await isolated(functions.take, megabytes)
    return private() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--memory", type=int, default=300)
    parser.add_argument("--binary", type=Path, default=BINARY)
    asked = parser.parse_args()
    took: dict[str, list[float]] = {}
    if asked.binary.exists():
        with served(asked.binary) as ask:
            took["`isolated`, from a template"] = [ask() for _ in range(asked.calls + 2)][2:]
    all_ways = ways()
    for name, way in all_ways.items():
        # The first calls start pools and servers, and use what they had in store.
        for turn in range(asked.calls + 2):
            begun = time.perf_counter()
            way()
            if turn > 1:
                took.setdefault(name, []).append((time.perf_counter() - begun) * 1000)
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}\n")
    print("| | median, ms | worst, ms |\n|---|---|---|")
    for name, times in took.items():
        print(f"| {name} | {statistics.median(times):.1f} | {max(times):.1f} |")
    left = asyncio.run(heavy(asked.calls, asked.memory))
    print(f"\n{asked.calls} calls that take {asked.memory} MB leave {left:+.2f} MB in the caller.")


if __name__ == "__main__":
    main()
