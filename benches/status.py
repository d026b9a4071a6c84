"""What the status server costs, and whether it counts right: the rows of docs/status.md.

    python benches/status.py rate        hello with --status-bind and without, interleaved
    python benches/status.py weight      what it adds to the memory of the server
    python benches/status.py scrape      how long a scrape takes, idle and while every worker hangs; 25 applications
    python benches/status.py counts      100,000 requests over 50 recycles and 5 kills, counted to the request
    python benches/status.py files       200 recycles with prometheus_client, and the files that are left
    python benches/status.py all

Each row is followed by its goal and by `ok` or `missed`. Exit codes: 0 all reached, 1 one was missed, 2 not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from weigh import weigh_tree

ROOT = Path(__file__).resolve().parents[1]
BENCHES = ROOT / "benches" / "apps"
TESTS = ROOT / "tests" / "apps"
STATUS = ("--status-bind", "127.0.0.1:0")
LINES = re.compile(r"(Status|running) on http://([\d.]+):(\d+)")
STARTED = "Application startup complete"
RECYCLED = "Recycled worker"
PATIENCE = 60.0

missed: list[str] = []


class Served:
    """A server, its log, and where it and its status server listen."""

    def __init__(
        self, binary: str, *flags: str, cwd: Path = BENCHES, env: dict[str, str] | None = None
    ) -> None:
        port = () if "--config" in flags else ("--port", "0")
        command = [binary, "--python", sys.executable, "--no-access-log", *port, *flags]
        own = {"LOWMEM_SERVE_PACKAGE": str(ROOT / "python" / "lowmem_serve"), **(env or {})}
        self.process = subprocess.Popen(
            command, cwd=cwd, stderr=subprocess.PIPE, text=True, env=os.environ | own
        )
        self.pid = self.process.pid
        self.places: dict[str, tuple[str, int]] = {}
        self.lines: list[str] = []
        # Read all the time: a server whose log is not read stops once the pipe is full.
        threading.Thread(target=self._follow, daemon=True).start()
        self.wait("running on")

    def _follow(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            if found := LINES.search(line):
                self.places[found[1]] = (found[2], int(found[3]))
            self.lines.append(line)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.lines)

    def wait(self, text: str, times: int = 1) -> None:
        until(lambda: self.count(text) >= times, f"{text} ({times})", self.lines)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def scrape(self, path: str = "/metrics") -> str:
        connection = http.client.HTTPConnection(*self.places["Status"], timeout=PATIENCE)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()


@contextmanager
def serving(
    binary: str, *flags: str, cwd: Path = BENCHES, env: dict[str, str] | None = None
) -> Iterator[Served]:
    """A server that is stopped afterwards."""
    served = Served(binary, *flags, cwd=cwd, env=env)
    try:
        yield served
    finally:
        for pid in [*served.workers(), served.pid]:
            os.kill(pid, signal.SIGKILL)
        served.process.wait()


def until(holds: Callable[[], bool], what: str, lines: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"status.py: {what} did not come\n{''.join(lines[-30:])}")
        time.sleep(0.01)


def row(what: str, figure: str, goal: str, is_reached: bool) -> None:
    if not is_reached:
        missed.append(what)
    print(f"| {what} | {figure} | {goal} | {'ok' if is_reached else 'missed'} |", flush=True)


# --- the rate


def rate(binary: str, rounds: int, seconds: float) -> None:
    if not shutil.which("wrk"):
        sys.exit("status.py: wrk is missing")
    ratios = []
    with serving(binary, "hello:app") as off, serving(binary, "hello:app", *STATUS) as on:
        for round in range(rounds):
            rates = {}
            for served in (off, on) if round % 2 else (on, off):
                url = "http://{}:{}/".format(*served.places["running"])
                made = subprocess.run(
                    ["wrk", "-t1", "-c32", f"-d{seconds}s", url], capture_output=True, text=True, check=True
                )
                found = re.search(r"Requests/sec:\s+([\d.]+)", made.stdout)
                rates[served.pid] = float(found[1]) if found else 0.0
            ratios.append(rates[on.pid] / rates[off.pid])
    ratio = statistics.median(ratios)
    figure = f"{ratio:.3f} ({min(ratios):.3f}–{max(ratios):.3f}, {rounds} rounds)"
    row("hello with the status server, of the rate without", figure, "≥ 0.99", ratio >= 0.99)


# --- the memory


def weight(binary: str) -> None:
    figures = []
    with serving(binary, "hello:app") as off, serving(binary, "hello:app", *STATUS) as on:
        for served in (off, on):
            connection = http.client.HTTPConnection(*served.places["running"])
            for _ in range(200):
                connection.request("GET", "/")
                connection.getresponse().read()
            connection.close()
        on.scrape()
        # A sample of the status server's has been taken.
        time.sleep(11)
        for served in (off, on):
            figures.append(weigh_tree(served.pid))
    more = (figures[1].pss - figures[0].pss) / 1024
    dirty = (figures[1].private_dirty - figures[0].private_dirty) / 1024
    row(
        "PSS that it adds, both servers side by side",
        f"{more:.2f} MB ({dirty:.2f} private dirty)",
        "≤ 0.5 MB",
        more <= 0.5,
    )


# --- scrapes


def times(served: Served, count: int, path: str = "/metrics") -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        served.scrape(path)
        taken.append((time.perf_counter() - began) * 1_000)
    return sorted(taken)


def told(taken: list[float]) -> str:
    return f"{statistics.median(taken):.1f} ms, p99 {taken[len(taken) * 99 // 100]:.1f}"


def scrape(binary: str, applications: int) -> None:
    with serving(binary, "kinds:app", *STATUS) as served:
        connection = http.client.HTTPConnection(*served.places["running"])
        for path in ("/", "/missing", "/stream", "/raises") * 10:
            connection.request("GET", path)
            connection.getresponse().read()
        taken = times(served, 200)
        row("scrape, one application", told(taken), "median ≤ 5 ms", statistics.median(taken) <= 5)
    for path in ("/spin", "/hold"):
        with serving(binary, "hanging:app", *STATUS, cwd=TESTS) as served:
            hanging = http.client.HTTPConnection(*served.places["running"])
            hanging.request("GET", path)
            time.sleep(0.5)
            for target in ("/metrics", "/livez", "/readyz"):
                taken = times(served, 100, target)
                what = f"{target} while the worker {'computes' if path == '/spin' else 'holds the GIL in C'}"
                row(what, told(taken), "median ≤ 20 ms", statistics.median(taken) <= 20)
    with tempfile.TemporaryDirectory() as directory:
        tables = [
            f'[apps.app{number:02}]\napp = "hello:app"\ndirectory = "{BENCHES}"\n'
            f'bind = ["unix:{directory}/{number}.sock"]\n'
            for number in range(applications)
        ]
        settings = Path(directory) / "fleet.toml"
        settings.write_text('status-bind = "127.0.0.1:0"\n' + "".join(tables))
        with serving(binary, "--config", str(settings), cwd=Path(directory)) as served:
            served.wait(STARTED, applications)
            taken = times(served, 100)
            row(f"scrape, {applications} applications", told(taken), "", True)


# --- the counts

KINDS = (
    ("GET", "/", 200),
    ("GET", "/stream", 200),
    ("GET", "/missing", 404),
    ("GET", "/raises", 500),
    ("HEAD", "/", 200),
    ("POST", "/echo", 200),
    ("PUT", "/", 200),
    ("BREW", "/", 200),
)
CLIENTS = 16

AROUND = 0.25
"""Seconds before a kill in which a response may have been written, and not counted."""


class Tally:
    """What the clients have seen."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.begun = 0
        self._reached: dict[int, asyncio.Event] = {}
        self.answered: Counter[tuple[str, int]] = Counter()
        self.ends: list[float] = []
        self.lost: Counter[str] = Counter()
        self.kills: list[float] = []

    async def reached(self, count: int) -> None:
        """Wait until so many requests have begun."""
        if self.begun < count:
            await self._reached.setdefault(count, asyncio.Event()).wait()

    def begin(self) -> None:
        self.begun += 1
        if reached := self._reached.get(self.begun):
            reached.set()


async def client(address: tuple[str, int], tally: Tally, choose: random.Random) -> None:
    """Requests of all kinds, one after the other, on connections that are kept until they end."""
    streams = None
    while tally.begun < tally.wanted:
        tally.begin()
        method, path, status = choose.choice(KINDS)
        try:
            streams = streams or await asyncio.open_connection(*address)
            keeps = await request(*streams, method, path, status)
        except (OSError, EOFError, asyncio.IncompleteReadError) as error:
            tally.lost[type(error).__name__] += 1
            streams = None
            continue
        tally.answered[(method if method != "BREW" else "_OTHER", status)] += 1
        tally.ends.append(time.monotonic())
        if not keeps:
            streams[1].close()
            streams = None


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str, expected: int
) -> bool:
    """One exchange; whether the connection may be used again."""
    body = b"x" * 1000 if method in ("POST", "PUT") else b""
    head = f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    assert answer.startswith(f"http/1.1 {expected} "), answer
    if method == "HEAD":
        pass
    elif found := re.search(r"content-length: (\d+)", answer):
        await reader.readexactly(int(found[1]))
    else:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return "connection: close" not in answer


def counted(served: Served) -> Counter[tuple[str, int]]:
    found: Counter[tuple[str, int]] = Counter()
    for line in served.scrape().splitlines():
        if line.startswith("http_server_request_duration_seconds_count"):
            method = re.search(r'http_request_method="(\w+)"', line)
            status = re.search(r'http_response_status_code="(\d+)"', line)
            key = (method[1] if method else "", int(status[1]) if status else 0)
            found[key] += int(line.split()[-1])
    return found


async def drive(served: Served, tally: Tally, recycles: int, kills: int) -> None:
    """The clients, and between them what happens to workers, evenly over the requests."""
    clients = [
        asyncio.create_task(client(served.places["running"], tally, random.Random(seed)))
        for seed in range(CLIENTS)
    ]
    steps = recycles + kills
    kill_at = {round((number + 0.5) * steps / kills) for number in range(kills)} if kills else set()
    done = 0
    for step in range(steps):
        await tally.reached(tally.wanted * (step + 1) // (steps + 1))
        if step in kill_at:
            tally.kills.append(time.monotonic())
            os.kill(served.workers()[0], signal.SIGKILL)
            started = served.count(STARTED)
            await asyncio.to_thread(served.wait, STARTED, started + 1)
        else:
            done += 1
            os.kill(served.pid, signal.SIGHUP)
            await asyncio.to_thread(served.wait, RECYCLED, done)
    await asyncio.gather(*clients)


def counts(binary: str, wanted: int, recycles: int, kills: int) -> None:
    for killed in (0, kills):
        tally = Tally(wanted)
        with serving(binary, "kinds:app", *STATUS) as served:
            asyncio.run(drive(served, tally, recycles, killed))
            time.sleep(0.5)
            found = counted(served)
            happened = served.count(RECYCLED)
        answered = sum(tally.answered.values())
        surplus = sum(found.values()) - answered
        doubtful = sum(any(0 <= kill - end <= AROUND for kill in tally.kills) for end in tally.ends)
        lost = sum(tally.lost.values())
        wrong = {key for key in {*found, *tally.answered} if found[key] != tally.answered[key]}
        figure = f"{answered:,} answered, {sum(found.values()):,} counted, {lost} in flight at a kill"
        if killed:
            # What was in flight may have been counted, what was just written may not.
            is_right = -min(doubtful, CLIENTS * killed) <= surplus <= lost
        else:
            is_right = not wrong and lost == 0
        what = f"{wanted:,} requests of {len(KINDS)} kinds, {happened} recycles, {killed} kills"
        row(what, figure, "to the request" if not killed else "but for those in flight", is_right)


# --- files of prometheus_client


def files(binary: str, recycles: int) -> None:
    text = (ROOT / "docs" / "observability.md").read_text()
    with tempfile.TemporaryDirectory() as directory:
        metrics = Path(directory) / "metrics"
        metrics.mkdir()
        for name, body in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL):
            (Path(directory) / name).write_text(body)
        env = {"PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        with serving(binary, "counting:app", cwd=Path(directory), env=env) as served:
            for number in range(recycles):
                os.kill(served.pid, signal.SIGHUP)
                served.wait(RECYCLED, number + 1)
                connection = http.client.HTTPConnection(*served.places["running"])
                connection.request("GET", "/")
                connection.getresponse().read()
                connection.close()
            left = sorted(file.name for file in metrics.iterdir())
    row(f"files of prometheus_client after {recycles} recycles", str(len(left)), "≤ 4", len(left) <= 4)


def main() -> int:
    arguments = _parse()
    print("| what | figure | goal | |\n|---|---|---|---|")
    binary = arguments.binary
    runs: dict[str, Callable[[], None]] = {
        "rate": lambda: rate(binary, arguments.rounds, arguments.seconds),
        "weight": lambda: weight(binary),
        "scrape": lambda: scrape(binary, arguments.applications),
        "counts": lambda: counts(binary, arguments.requests, arguments.recycles, arguments.kills),
        "files": lambda: files(binary, arguments.file_recycles),
    }
    for name, measure in runs.items():
        if arguments.what in (name, "all"):
            measure()
    return 1 if missed else 0


def _parse() -> argparse.Namespace:
    built = ROOT / "target" / "release" / "lowmem-serve"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("rate", "weight", "scrape", "counts", "files", "all"))
    parser.add_argument("--binary", default=str(built), help="(default: target/release/lowmem-serve)")
    parser.add_argument("--rounds", type=int, default=9, help="of rate (default: 9)")
    parser.add_argument("--seconds", type=float, default=2, help="of each round and server (default: 2)")
    parser.add_argument("--requests", type=int, default=100_000, help="of counts (default: 100,000)")
    parser.add_argument("--recycles", type=int, default=50, help="of counts (default: 50)")
    parser.add_argument("--kills", type=int, default=5, help="of counts (default: 5)")
    parser.add_argument("--file-recycles", type=int, default=200, help="of files (default: 200)")
    parser.add_argument("--applications", type=int, default=25, help="of scrape (default: 25)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
