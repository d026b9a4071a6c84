"""Compares the cache on disk with diskcache, sqlite3 and an LRU in memory, in one interleaved run.

    .venv/bin/python -m pip install diskcache cachetools
    .venv/bin/python benches/cache.py [--quick] [--directory DIR]

Each figure is the median of the rounds: microseconds of a get and a set in one process (median, p99), of a set while
four processes write, what a process gains in memory (MB, PSS and private) while it reads and writes a large cache, and
the share of hits on a Zipf trace.
"""

import argparse
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TREE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TREE / "python"))

VALUE = bytes(range(256)) * 8
KEYS = 5_000


class Ours:
    name = "lowmem_serve.cache"

    def __init__(self, directory, size):
        from lowmem_serve import cache

        store = cache.open("bench", size=size, directory=directory)
        self.get, self.set = store.get, store.set


class DiskCache:
    name = "diskcache.Cache"

    def __init__(self, directory, size):
        import diskcache

        store = diskcache.Cache(str(directory), size_limit=size)
        self.get, self.set = store.get, store.set


class FanoutCache:
    name = "diskcache.FanoutCache"

    def __init__(self, directory, size):
        import diskcache

        store = diskcache.FanoutCache(str(directory), size_limit=size, timeout=60)
        self.get, self.set = store.get, store.set


class Sqlite:
    name = "sqlite3 (WAL, synchronous off)"

    def __init__(self, directory, size):
        directory.mkdir(exist_ok=True)
        self.database = sqlite3.connect(directory / "cache.db", timeout=60, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "mmap_size=0"):
            self.database.execute(f"PRAGMA {pragma}").fetchall()
        self.database.execute("CREATE TABLE IF NOT EXISTS c (k PRIMARY KEY, v) WITHOUT ROWID")

    def get(self, key):
        found = self.database.execute("SELECT v FROM c WHERE k=?", (key,)).fetchone()
        return found and found[0]

    def set(self, key, value):
        self.database.execute("INSERT OR REPLACE INTO c VALUES (?, ?)", (key, value))


class Memory:
    name = "cachetools.LRUCache (in memory)"

    def __init__(self, directory, size):
        import cachetools

        store = cachetools.LRUCache(size // len(VALUE))
        self.get, self.set = store.get, store.__setitem__


ALL = (Ours, DiskCache, FanoutCache, Sqlite, Memory)


def timed(act, arguments):
    """Median and p99 of the calls, in microseconds."""
    times = []
    for each in arguments:
        begun = time.perf_counter_ns()
        act(*each)
        times.append(time.perf_counter_ns() - begun)
    times.sort()
    return times[len(times) // 2] / 1e3, times[len(times) * 99 // 100] / 1e3


def memory():
    """PSS and private memory of this process, in MB."""
    sizes = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    with open("/proc/self/smaps_rollup") as lines:
        for line in lines:
            name = line.split(":")[0]
            if name in sizes:
                sizes[name] += int(line.split()[1])
    return sizes["Pss"] / 1024, sizes["Private_Dirty"] / 1024


def writer(kind, directory, count):
    """The part of one of four processes."""
    store = kind(Path(directory), 256 << 20)
    generator = random.Random(os.getpid())
    print("ready", flush=True)
    sys.stdin.readline()
    _, p99 = timed(store.set, [(generator.randrange(KEYS), VALUE) for _ in range(count)])
    print(p99)


def together(kind, directory, count):
    """The p99 of a set while four processes write: the median of the four."""
    command = [sys.executable, __file__, "--writer", kind.__name__, str(directory), str(count)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    each = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in each:
        process.stdout.readline()
    for process in each:
        process.stdin.write("\n")
        process.stdin.flush()
    return statistics.median(float(process.communicate(timeout=600)[0]) for process in each)


def heavier(kind, directory, megabytes):
    """The memory that the process of a large cache gains; in a process of its own."""
    command = [sys.executable, __file__, "--weigh", kind.__name__, str(directory), str(megabytes)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(map(float, found.stdout.split()))


def weigh(kind, directory, megabytes):
    """Fills and reads a cache, and prints what that added to this process."""
    store = kind(Path(directory), megabytes << 20)
    store.set("warm", VALUE)
    store.get("warm")
    before = memory()
    count = (megabytes << 20) * 9 // 10 // (len(VALUE) + 60)
    for number in range(count):
        store.set(number, VALUE)
    for number in range(0, count, 7):
        store.get(number)
    after = memory()
    print(*(now - then for now, then in zip(after, before, strict=True)))


def hits(kind, directory, length):
    """The share of hits on a Zipf trace in a cache of 8 MB; and how many entries it held."""
    store = kind(directory, 8 << 20)
    generator = random.Random(7)
    found = 0
    for _ in range(length):
        key = min(int(generator.paretovariate(0.7)), 60_000)
        if store.get(key) is None:
            store.set(key, VALUE)
        else:
            found += 1
    return found / length


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="a minute instead of ten")
    arguments.add_argument("--directory", help="where the files lie: the disk to be measured")
    arguments.add_argument("--writer", nargs=3, help=argparse.SUPPRESS)
    arguments.add_argument("--weigh", nargs=3, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    kinds = {kind.__name__: kind for kind in ALL}
    if given.writer:
        return writer(kinds[given.writer[0]], given.writer[1], int(given.writer[2]))
    if given.weigh:
        return weigh(kinds[given.weigh[0]], given.weigh[1], int(given.weigh[2]))
    rounds, count, megabytes = (2, 4_000, 64) if given.quick else (5, 20_000, 1024)
    rows = {kind: {} for kind in ALL}
    work = Path(tempfile.mkdtemp(prefix="cache-bench-", dir=given.directory))
    try:
        for number in range(rounds):
            for kind in ALL:
                directory = work / f"{kind.__name__}-{number}"
                store = kind(directory, 256 << 20)
                row = rows[kind]
                generator = random.Random(number)
                sets = [(generator.randrange(KEYS), VALUE) for _ in range(count)]
                row.setdefault("set", []).append(timed(store.set, sets))
                row.setdefault("get", []).append(timed(store.get, [key[:1] for key in sets]))
                if kind is not Memory:
                    shared = work / f"{kind.__name__}-shared-{number}"
                    kind(shared, 256 << 20)
                    row.setdefault("four", []).append(together(kind, shared, count // 4))
        for kind in ALL:
            rows[kind]["memory"] = heavier(kind, work / f"{kind.__name__}-large", megabytes)
            if kind in (Ours, Memory):
                rows[kind]["hits"] = hits(
                    kind, work / f"{kind.__name__}-zipf", 40_000 if given.quick else 200_000
                )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report(rows, megabytes)


def report(rows, megabytes):
    """Prints the table."""
    print(
        f"| values of {len(VALUE)} bytes | get µs, p99 | set µs, p99 | set p99, 4 processes | + MB for {megabytes} MB (PSS / private dirty) | hits |"
    )
    print("|---|---|---|---|---|---|")
    for kind, row in rows.items():
        get, put = (
            " / ".join(f"{statistics.median(part):.1f}" for part in zip(*row[what], strict=True))
            for what in ("get", "set")
        )
        four = f"{statistics.median(row['four']):.0f}" if "four" in row else "–"
        weight = " / ".join(f"{part:.1f}" for part in row["memory"])
        share = f"{row['hits']:.1%}" if "hits" in row else "–"
        print(f"| {kind.name} | {get} | {put} | {four} | {weight} | {share} |")


if __name__ == "__main__":
    main()
