"""What a call in a process of its own costs over the function's own time: ours beside what people write by hand.

    python benches/isolated.py [--calls 15] [--memory 300] [--ends 1000] [--binary target/release/lowmem-serve]

Calls that start from a template are made by an application (`isolated_served.py`) with `--preload`, and one with
`--isolated-template`, which tell their time; they are left out without the executable. With `--ends N`, N calls are cancelled
and N are killed there; what is left of them is counted.
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
ENDS_WITHIN = 600
SETTLED = 1.0

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


Ask = Callable[[str], object]


@contextlib.contextmanager
def served(binary: Path, *flags: str) -> Iterator[Ask]:
    """The client of a server with a template."""
    command = [
        binary,
        "isolated_served:app",
        *flags,
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

        def ask(path: str) -> object:
            with urllib.request.urlopen(found[1] + path, timeout=ENDS_WITHIN) as answer:
                return json.load(answer)

        if "--isolated-template" in flags:
            # The first call has the template made.
            ask("/")
            next(line for line in lines if "for isolated calls" in line)
        yield ask
    finally:
        server.terminate()
        server.communicate(timeout=STOP_WITHIN)


def tree(pid: int) -> list[int]:
    """The processes of a worker's server, zombies included."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stats[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [stats[pid]]
    for parent in found:
        found.extend(own for own, above in stats.items() if above == parent)
    return found


def descriptors(pids: list[int]) -> tuple[int, int]:
    """All of them, and the memory files among them."""
    links = []
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(link))
    return len(links), sum("memfd:" in link for link in links)


def ends(binary: Path, count: int) -> None:
    """The remains of calls that are cancelled or killed."""
    with served(binary, "--preload") as ask:
        for path in ("/cancelled", "/killed"):
            ask(f"{path}?3")
        worker = int(ask("/pid"))  # type: ignore[call-overload]
        time.sleep(SETTLED)
        before = tree(worker)
        open_before = descriptors(before)
        begun = time.monotonic()
        ask(f"/cancelled?{count}")
        killed = ask(f"/killed?{count}")
        took = time.monotonic() - begun
        time.sleep(SETTLED)
        after = tree(worker)
        files, memory_files = descriptors(after)
        print(
            f"\n{count:,} cancellations and {killed:,} kills in {took:.0f} s leave {len(after) - len(before)} processes, "
            f"{files - open_before[0]} descriptors, {memory_files - open_before[1]} memory files."
        )


def private() -> float:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return (
        sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_Dirty:")) / 1024
    )


async def heavy(calls: int, megabytes: int) -> float:
    """The memory that large calls leave in the caller, in MB."""
    await isolated(functions.take, megabytes)
    before = private()
    for _ in range(calls):
        await isolated(functions.take, megabytes)
    return private() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=15)
    parser.add_argument("--memory", type=int, default=300)
    parser.add_argument("--ends", type=int, default=0)
    parser.add_argument("--binary", type=Path, default=BINARY)
    asked = parser.parse_args()
    took: dict[str, list[float]] = {}
    if asked.binary.exists():
        for flags in (["--preload"], ["--isolated-template", "isolated_work"]):
            with served(asked.binary, *flags) as ask:
                times = [float(ask("/")) for _ in range(asked.calls + 2)]  # type: ignore[arg-type]
                took[f"`isolated`, from a template (`{flags[0]}`)"] = times[2:]
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
    if asked.ends and asked.binary.exists():
        ends(asked.binary, asked.ends)


if __name__ == "__main__":
    main()
