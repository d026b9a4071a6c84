"""Many applications under one memory budget that holds some of them awake: random requests, what they wait for, what is used.

    python benches/budget.py --python .venv/bin/python --applications 25 --budget 110M --seconds 600

The applications are those of density.py, asleep at the start. Clients ask one of them after the other, chosen by
chance, each on a connection of its own. Printed are the requests that failed, the times of answers and of wakes,
how far the budget was exceeded and for how long, and the supervisor's own memory and descriptors.

Exit codes: 0 measured, 1 a request failed, 2 not measured, with the reason.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from density import REPOSITORY, CannotMeasure, Place, ours
from weigh import weigh_process


class Load:
    """Clients that ask at random, and what came of it."""

    def __init__(self, place: Place, pause: float, seed: int) -> None:
        self.place = place
        self.pause = pause
        self.chance = random.Random(seed)
        self.times: list[float] = []
        self.failed: list[str] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Ask until it is over."""
        while not self.over.wait(self.chance.expovariate(1 / self.pause)):
            name = self.chance.choice(self.place.names)
            began = time.monotonic()
            try:
                self._ask(name)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{name}: {error!r}")
            self.times.append(time.monotonic() - began)

    def _ask(self, name: str) -> None:
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.place.socket(name)))
        connection.request("GET", "/", headers={"connection": "close"})
        response = connection.getresponse()
        if response.status != 200 or name.removeprefix("app") not in response.read().decode():
            self.failed.append(f"{name}: {response.status}")
        connection.close()


def main() -> int:
    """Measure and print."""
    arguments = _parse()
    settings = f'memory-budget = "{arguments.budget}"\nstart-asleep = true\nsleep-after = "10m"\n'
    try:
        with tempfile.TemporaryDirectory(prefix="budget-") as temporary:
            place = Place(Path(temporary), arguments.applications, arguments.python.absolute(), False)
            with ours(settings)(place) as (supervisor,):
                return _measured(place, supervisor, arguments)
    except CannotMeasure as error:
        print(f"budget.py: {error}", file=sys.stderr)
        return 2


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--applications", type=int, default=25)
    parser.add_argument("--budget", default="110M")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument(
        "--pause", type=float, default=0.5, help="seconds between a client's requests, on average"
    )
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="with quart")
    return parser.parse_args()


def _measured(place: Place, supervisor: int, arguments: argparse.Namespace) -> int:
    _wait_for_all(place)
    loads = [Load(place, arguments.pause, seed) for seed in range(arguments.clients)]
    clients = [threading.Thread(target=load.run) for load in loads]
    before = _supervisor(supervisor)
    for client in clients:
        client.start()
    samples = []
    until = time.monotonic() + arguments.seconds
    while (now := time.monotonic()) < until:
        samples.append((now, _budget(supervisor)))
        time.sleep(0.5)
    for load in loads:
        load.over.set()
    for client in clients:
        client.join()
    after = _supervisor(supervisor)
    times = sorted(each for load in loads for each in load.times)
    failed = [each for load in loads for each in load.failed]
    log = (place.directory / "server.log").read_text()
    wakes = sorted(int(each) for each in re.findall(r"Awake \(pid \d+, (\d+) ms", log))
    used = [own["used"] for _, own in samples]
    print(f"{len(times):,} requests, {len(failed)} failed {failed[:3]}")
    print(f"answers: median {_part(times, 0.5) * 1e3:.0f} ms, p95 {_part(times, 0.95) * 1e3:.0f} ms")
    print(
        f"{len(wakes):,} wakes: start of the worker, median {_part(wakes, 0.5)} ms, p95 {_part(wakes, 0.95)} ms"
    )
    print(f"{log.count('Put to sleep'):,} put to sleep by the budget")
    limit = samples[0][1]["limit"]
    print(
        f"used at most {max(used) / 2**20:.1f} of {limit / 2**20:.1f} MB; above it for {_above(samples):.1f} s at a time"
    )
    print(f"supervisor: {before[0]:.1f} -> {after[0]:.1f} MB PSS, {before[1]} -> {after[1]} descriptors")
    return 1 if failed else 0


def _wait_for_all(place: Place) -> None:
    log, until = place.directory / "server.log", time.monotonic() + 60
    while (told := log.read_text()).count("Asleep, until the first request") < len(place.names):
        if "It cannot be started" in told or time.monotonic() > until:
            raise CannotMeasure(f"not all applications are there: {told[-500:]}")
        time.sleep(0.1)


def _supervisor(pid: int) -> tuple[float, int]:
    return weigh_process(pid).pss / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def _budget(pid: int) -> dict[str, int]:
    server = os.environ.get("LOWMEM_SERVE_BIN") or str(REPOSITORY / "target/release/lowmem-serve")
    asked = subprocess.run(
        [server, "status", "--json", str(pid)], capture_output=True, text=True, check=False
    )
    if asked.returncode:
        raise CannotMeasure(asked.stderr)
    budget: dict[str, int] = json.loads(asked.stdout)[0]["budget"]
    return budget


def _above(samples: list[tuple[float, dict[str, int]]]) -> float:
    """The longest time for which the budget was exceeded."""
    longest, since = 0.0, None
    for at, own in samples:
        since = (at if since is None else since) if own["used"] > own["limit"] else None
        longest = max(longest, at - since if since is not None else 0.0)
    return longest


def _part(values: list[float] | list[int], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)] if values else 0


if __name__ == "__main__":
    sys.exit(main())
