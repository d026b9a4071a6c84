"""What the status server costs, and whether it counts right: the rows of docs/status.md.

    python benches/status.py rate        hello with --status-bind and without, interleaved
    python benches/status.py instructions  machine instructions of a hello, by callgrind
    python benches/status.py weight      what it adds to the memory of the server
    python benches/status.py scrape      how long a scrape takes, idle and while every worker hangs; 25 applications
    python benches/status.py counts      100,000 requests over 50 recycles and 5 kills, counted to the request
    python benches/status.py files       200 recycles with prometheus_client, and the files that are left
    python benches/status.py all

Each row is followed by its goal and by `ok` or `missed`. Exit codes: 0 all reached, 1 one was missed, 2 not measured.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from comparison import workloads
from counting import run as counting
from gating.instructions import per_request
from gating.python import describe
from weigh import cpu_seconds, weigh_tree

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
            with suppress(ProcessLookupError):
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


def rate(binary: str, rounds: int, seconds: int) -> None:
    if not shutil.which("wrk"):
        sys.exit("status.py: wrk is missing")
    ratios = []
    answered: dict[int, float] = {}
    with serving(binary, "hello:app") as off, serving(binary, "hello:app", *STATUS) as on:
        used = {served.pid: cpu_seconds(served.pid) for served in (off, on)}
        for round in range(rounds):
            rates = {}
            for served in (off, on) if round % 2 else (on, off):
                url = "http://{}:{}/".format(*served.places["running"])
                made = subprocess.run(
                    ["wrk", "-t1", "-c32", f"-d{seconds}s", url], capture_output=True, text=True, check=True
                )
                rates[served.pid] = _number(r"Requests/sec:\s+([\d.]+)", made.stdout)
                total = _number(r"(\d+) requests in", made.stdout)
                answered[served.pid] = answered.get(served.pid, 0) + total
            ratios.append(rates[on.pid] / rates[off.pid])
        without, with_it = (
            (cpu_seconds(served.pid) - used[served.pid]) / answered[served.pid] * 1e6 for served in (off, on)
        )
    ratio = statistics.median(ratios)
    figure = f"{ratio:.3f} ({min(ratios):.3f}–{max(ratios):.3f}, {rounds} rounds)"
    row("hello with the status server, of the rate without", figure, "≥ 0.99", ratio >= 0.99)
    figure = f"{with_it:.2f} and {without:.2f} µs, {without / with_it:.3f}"
    row("CPU time of a hello with it and without", figure, "≥ 0.99", without / with_it >= 0.99)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def instructions(binary: str, python: Path) -> None:
    found = describe(python)
    if not shutil.which("valgrind") or found is None or found.shared:
        print(f"instructions are not counted: they need valgrind, and {python} to be linked statically")
        return
    os.environ["PYTHONHASHSEED"] = "0"
    (hello,) = workloads.named(["hello"])
    without, with_it = (per_request(Path(binary), found, hello, *flags) for flags in ((), STATUS))
    figure = f"{with_it:,.0f} and {without:,.0f}, {without / with_it:.3f}"
    row("instructions of a hello with it and without", figure, "≥ 0.98", without / with_it >= 0.98)


# --- the memory


RESTED = 2.0
"""Seconds after a scrape; the code that it has brought in is given back after 0.3."""

SCRAPED_EVERY = 15.0


def weight(binary: str, scrapes: int) -> None:
    # Pages of a file that has just been written count as dirty.
    os.sync()
    with serving(binary, "hello:app") as off, serving(binary, "hello:app", *STATUS) as on:
        for served in (off, on):
            connection = http.client.HTTPConnection(*served.places["running"])
            for _ in range(200):
                connection.request("GET", "/")
                connection.getresponse().read()
            connection.close()
        on.scrape()
        time.sleep(RESTED)
        _added("PSS that it adds, both servers side by side, 2 s after a scrape", [_difference(off, on)])
        # Over a sample of the status server's, too.
        taken = []
        for second in range(round(SCRAPED_EVERY * scrapes)):
            if second % round(SCRAPED_EVERY) == 0:
                on.scrape()
            taken.append(_difference(off, on))
            time.sleep(1)
        _added(f"the same, mean of {len(taken)} s with a scrape every 15 s", taken)
        on.scrape()
        row("right after a scrape", f"{_difference(off, on)[0] / 1024:.2f} MB", "", True)


def _difference(off: Served, on: Served) -> tuple[int, int]:
    without, with_it = weigh_tree(off.pid), weigh_tree(on.pid)
    return with_it.pss - without.pss, with_it.private_dirty - without.private_dirty


def _added(what: str, taken: list[tuple[int, int]]) -> None:
    more, dirty = (statistics.mean(figures) / 1024 for figures in zip(*taken, strict=True))
    row(what, f"{more:.2f} MB ({dirty:.2f} private dirty)", "≤ 0.5 MB", more <= 0.5)


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
            row(
                f"scrape, {applications} applications",
                told(taken),
                "median ≤ 5 ms",
                statistics.median(taken) <= 5,
            )


# --- the counts


def counts(binary: str, wanted: int, recycles: int, kills: int) -> None:
    for killed in sorted({0, kills}):
        with tempfile.TemporaryDirectory() as directory:
            file = counting.settings(Path(directory), BENCHES)
            with serving(binary, "--config", str(file), cwd=Path(directory)) as served:
                outcome = counting.run(served, Path(directory), wanted, recycles, killed)
        tally = outcome.tally
        kinds = len(outcome.counted)
        figure = f"{tally.answered.total():,} answered, {outcome.counted.total():,} counted"
        what = f"{wanted:,} requests of {kinds} kinds, {outcome.recycles} recycles, {outcome.crashes} kills"
        is_as_wanted = (outcome.recycles, outcome.crashes) == (2 * recycles, killed)
        goal = "but for those in flight" if killed else "to the request"
        row(what, figure, goal, is_as_wanted and outcome.is_right())
        print(
            f"\n{', '.join(f'{way} {count:,}' for way, count in sorted(tally.ways.items()))}; "
            f"{tally.again} were taken by no worker and asked again; in flight at a kill {tally.lost.total()} "
            f"({outcome.unseen.total()} of them counted), answered just before one and not counted "
            f"{outcome.uncounted.total()}\n"
        )
        for asked, count in sorted(tally.lost.items()):
            print(f"- in flight: {count} {asked}")


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
        "instructions": lambda: instructions(binary, arguments.static_python),
        "weight": lambda: weight(binary, arguments.scrapes),
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
    parser.add_argument(
        "what", choices=("rate", "instructions", "weight", "scrape", "counts", "files", "all")
    )
    parser.add_argument("--binary", default=str(built), help="(default: target/release/lowmem-serve)")
    parser.add_argument("--rounds", type=int, default=9, help="of rate (default: 9)")
    parser.add_argument("--seconds", type=int, default=2, help="of each round and server (default: 2)")
    static = Path("/usr/bin/python3")
    parser.add_argument("--static-python", type=Path, default=static, help="(default: /usr/bin/python3)")
    parser.add_argument("--scrapes", type=int, default=2, help="of weight, one in 15 s (default: 2)")
    parser.add_argument("--requests", type=int, default=100_000, help="of counts (default: 100,000)")
    parser.add_argument("--recycles", type=int, default=50, help="of counts (default: 50)")
    parser.add_argument("--kills", type=int, default=5, help="of counts (default: 5)")
    parser.add_argument("--file-recycles", type=int, default=200, help="of files (default: 200)")
    parser.add_argument("--applications", type=int, default=25, help="of scrape (default: 25)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
