"""What sleep costs and what it gives: the rows of docs/sleep.md.

    python benches/sleep.py requests --count 100000     requests with gaps around the time, and what goes wrong
    python benches/sleep.py weight --connections 10000  one application asleep, and what a kept connection takes
    python benches/sleep.py latency                     the first byte after sleep, cold and from a template
    python benches/sleep.py probes                      health checks and a scan of ports while it sleeps
    python benches/sleep.py warm-up                     the first request after a wake, with --warm-up and without
    python benches/sleep.py day --svg docs/sleep.svg    the memory of a day, in a minute

`requests` has many clients at once, each with pauses drawn around --sleep-after. They keep their connections or
open new ones, upload, read streams and talk over WebSockets; meanwhile the worker is recycled by --ttl, SIGHUP is
sent, and the worker is killed. Kills may fail what was in flight; anything else that fails is a fault.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from weigh import NOTHING, weigh_process

ROOT = Path(__file__).resolve().parents[1]
APPS = ROOT / "tests" / "apps"
RUNNING = re.compile(r"running on http://([\d.]+):(\d+)")
TIMEOUT = 30.0
IN_FLIGHT = 1.0
"""Seconds around a kill in which a failure may be of what was in flight."""


class Served:
    """A server with its log."""

    def __init__(
        self, binary: str, app: str, *flags: str, cwd: Path = APPS, env: dict[str, str] | None = None
    ) -> None:
        command = [binary, app, "--port", "0", "--python", sys.executable, "--no-access-log", *flags]
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "LOWMEM_SERVE_PACKAGE": str(ROOT / "python" / "lowmem_serve"), **(env or {})},
        )
        self.pid = self.process.pid
        self.lines: list[str] = []
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)
            if found := RUNNING.search(line):
                self.address = (found[1], int(found[2]))
                break
        else:
            raise SystemExit("".join(self.lines))
        # Read all the time: a server whose log is not read stops once the pipe is full.
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)

    def read(self) -> list[str]:
        """Its log so far."""
        return list(self.lines)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.read())

    def wait_for(self, text: str, times: int, patience: float = 60) -> None:
        end = time.monotonic() + patience
        while self.count(text) < times:
            if time.monotonic() > end:
                raise SystemExit(f"{text} did not come:\n" + "".join(self.lines[-30:]))
            time.sleep(0.005)

    def workers(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._follower.join(10)


def weight(*pids: int) -> tuple[float, float]:
    """PSS and private dirty memory, in MB."""
    own = sum(map(weigh_process, pids), NOTHING)
    return own.pss / 1000, own.private_dirty / 1000


# --- requests


@dataclass
class Tally:
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    excused: int = 0
    closed: int = 0
    restarted: int = 0
    slowest: float = 0.0
    kills: list[float] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(self.done.values())


class Client:
    """One client: a connection that is kept, or not."""

    def __init__(self, address: tuple[str, int], tally: Tally, chance: random.Random) -> None:
        self.address = address
        self.tally = tally
        self.chance = chance
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.opened = 0.0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
            self.opened = time.monotonic()
        return self.streams

    async def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None

    def was_closed(self) -> bool:
        """Whether the server has closed a connection that was idle."""
        return self.streams is not None and self.streams[0].at_eof()

    async def ask(self, head: str, body: bytes = b"") -> bytes:
        reader, writer = await self.open()
        writer.write(head.encode() + b"\r\n\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise ValueError(answer[:40].decode())
        if length := re.search(rb"content-length: (\d+)", answer):
            text = await reader.readexactly(int(length[1]))
        else:
            text = b""
            while (size := int((await reader.readline()).strip(), 16)) > 0:
                text += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if b"connection: close" in answer:
            await self.close()
        return text

    async def get(self) -> None:
        await self.ask("GET / HTTP/1.1\r\nhost: a")

    async def upload(self) -> None:
        body = os.urandom(self.chance.randrange(1, 200_000))
        text = await self.ask(f"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}", body)
        if int(text.split()[1]) != len(body):
            raise ValueError("the upload is not whole")

    async def stream(self) -> None:
        text = await self.ask("GET /stream?3 HTTP/1.1\r\nhost: a")
        if text.count(b"\n") != 3:
            raise ValueError("the stream is not whole")

    async def websocket(self) -> None:
        await self.close()
        reader, writer = await self.open()
        writer.write(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ValueError(answer[:40].decode())
        for _ in range(2):
            writer.write(b"\x81\x82\0\0\0\0hi")
            answer = await reader.readexactly(4)
            if answer[0] == 0x88 and answer[2:] == b"\x03\xf4":
                # 1012: its worker is recycled, and the client should come back.
                self.tally.restarted += 1
                return await self.close()
            if answer != b"\x81\x02hi":
                raise ValueError(f"no echo: {answer!r}")
            await asyncio.sleep(self.chance.uniform(0, 0.2))
        writer.write(b"\x88\x82\0\0\0\0\x03\xe8")
        await reader.readexactly(4)
        await self.close()


class Tides:
    """When all clients come back: apart by times around the one after which the application sleeps."""

    def __init__(self, gap: float) -> None:
        self.gap = gap
        self.chance = random.Random(11)
        self.next = time.monotonic()

    def pause(self, chance: random.Random) -> float:
        """Until the next tide, or almost none in the middle of one."""
        if chance.random() < 0.45:
            return chance.uniform(0, self.gap * 0.02)
        now = time.monotonic()
        while self.next <= now:
            self.next += self.chance.uniform(1.2, 2.6) * self.gap
        return self.next - now + chance.uniform(0, self.gap * 0.1)


async def client(address: tuple[str, int], tally: Tally, seed: int, count: int, tides: Tides) -> None:
    chance = random.Random(seed)
    one = Client(address, tally, chance)
    kinds: list[tuple[str, Callable[[], Awaitable[None]]]] = [
        ("get", one.get), ("upload", one.upload), ("stream", one.stream), ("websocket", one.websocket)
    ]  # fmt: skip
    while tally.requests < count:
        name, exchange = chance.choices(kinds, weights=(90, 6, 2, 2))[0]
        if one.was_closed():
            excuse_or(tally, one.opened, "an idle connection was closed", closed=True)
            await one.close()
        began = time.monotonic()
        try:
            await asyncio.wait_for(exchange(), TIMEOUT)
            tally.done[name] += 1
            tally.slowest = max(tally.slowest, time.monotonic() - began)
        except Exception as error:
            excuse_or(tally, began, f"{name}: {error!r}")
            await one.close()
        if chance.random() < 0.3:
            await one.close()
        # All clients pause together now and then: otherwise some would always be in use.
        await asyncio.sleep(tides.pause(chance))
    await one.close()


def excuse_or(tally: Tally, began: float, what: str, closed: bool = False) -> None:
    now = time.monotonic()
    if any(began - IN_FLIGHT < kill < now for kill in tally.kills):
        tally.excused += 1
    else:
        tally.failed.append(what)
        tally.closed += closed


async def disturb(served: Served, tally: Tally, until: asyncio.Event) -> None:
    """SIGHUP now and then, and a kill of the worker, if there is one."""
    chance = random.Random(7)
    while not until.is_set():
        await asyncio.sleep(chance.uniform(4, 8))
        if chance.random() < 0.6:
            served.process.send_signal(signal.SIGHUP)
        elif workers := served.workers():
            tally.kills.append(time.monotonic())
            try:
                os.kill(workers[0], signal.SIGKILL)
            except ProcessLookupError:
                pass


async def requests(binary: str, count: int, clients: int, after: int) -> bool:
    flags = ["--sleep-after", f"{after}s", "--timeout-keep-alive", "120", "--ttl", "20s"]
    served = Served(binary, "sleeping:app", *flags)
    tally, until = Tally(), asyncio.Event()
    began = time.monotonic()
    disturbing = asyncio.create_task(disturb(served, tally, until))
    tides = Tides(after)
    try:
        running = [client(served.address, tally, seed, count, tides) for seed in range(clients)]
        await asyncio.gather(*running)
        until.set()
    finally:
        disturbing.cancel()
        served.stop()
    took = time.monotonic() - began
    sleeps, wakes = served.count("Asleep ("), served.count("Awake (")
    recycled, killed = served.count("Recycled worker"), len(tally.kills)
    print(f"{tally.requests} requests in {took:.0f} s: {dict(tally.done)}")
    print(f"{sleeps} sleeps, {wakes} wakes, {recycled} recycled, {killed} killed")
    print(
        f"failed {len(tally.failed)}, idle connections closed {tally.closed}, in flight at a kill {tally.excused}"
    )
    print(f"WebSockets told to come back (1012) by a recycled worker: {tally.restarted}")
    print(f"slowest {tally.slowest * 1000:.0f} ms")
    for text, times in Counter(tally.failed).most_common(10):
        print(f"  {times} x {text}")
    return not tally.failed


# --- the other rows


def weigh(binary: str, connections: int) -> None:
    import resource
    import socket

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    served = Served(binary, "sleeping:app", "--sleep-after", "1s", "--timeout-keep-alive", "600")
    try:
        served.wait_for("Asleep (", 1)
        time.sleep(0.5)
        pss, dirty = weight(served.pid)
        print(f"asleep: {pss:.2f} MB PSS, {dirty:.2f} MB private dirty")
        # Not all before the first request: of silent connections only some are held.
        clients = []
        for _ in range(connections):
            each = socket.create_connection(served.address)
            each.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200")
            clients.append(each)
        served.wait_for("Asleep (", 2)
        time.sleep(0.5)
        _, more = weight(served.pid)
        print(f"{connections} kept: {(more - dirty) * 1000 / connections:.3f} KB each")
        print(served.read()[-1].strip())
        began = time.monotonic()
        clients[-1].sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert clients[-1].recv(4096).startswith(b"HTTP/1.1 200")
        print(f"first answer with {connections} kept: {(time.monotonic() - began) * 1000:.0f} ms")
        for each in clients:
            each.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200")
        print("all of them are answered")
    finally:
        served.stop()


def latency(binary: str, rounds: int) -> None:
    import http.client

    quart = ROOT / "examples" / "quart_app"
    for name, flags in [
        ("cold", []),
        ("--preload", ["--preload"]),
        ("--keep-template", ["--keep-template", "1h"]),
    ]:
        began = time.monotonic()
        served = Served(binary, "app:app", "--sleep-after", "1s", *flags, cwd=quart)
        started = (time.monotonic() - began) * 1000
        taken = []
        try:
            for number in range(1, rounds + 2):
                served.wait_for("Asleep (", number)
                time.sleep(1.5)
                began = time.monotonic()
                connection = http.client.HTTPConnection(*served.address)
                connection.request("GET", "/")
                connection.getresponse().read()
                taken.append((time.monotonic() - began) * 1000)
        finally:
            served.stop()
        # The first one made the template.
        print(
            f"Quart, {name}: {statistics.median(taken[1:]):.0f} ms, best {min(taken):.0f} ms; start {started:.0f} ms"
        )


def probes(binary: str, count: int) -> bool:
    """Health checks, on connections of their own, and connections without a byte; whether nothing woke."""
    import socket

    served = Served(binary, "sleeping:app", "--sleep-after", "1s", "--health-path", "/healthz")
    try:
        served.wait_for("Asleep (", 1)
        taken = []
        for _ in range(count):
            began = time.monotonic()
            with socket.create_connection(served.address) as connection:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            taken.append((time.monotonic() - began) * 1000)
        for _ in range(count):
            socket.create_connection(served.address).close()
        # The last of them is seen before this answer.
        with socket.create_connection(served.address) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        woken = served.count("Awake (")
    finally:
        served.stop()
    slow = sum(each > 5 for each in taken)
    median, slowest = statistics.median(taken), max(taken)
    print(f"{count} health checks: median {median:.2f} ms, slowest {slowest:.1f} ms, {slow} above 5 ms")
    print(f"{count} health checks and {count} silent connections: woken {woken} times")
    return not woken


def warm_up(binary: str, rounds: int) -> None:
    """Quart with lazy imports: what the first request after a wake takes, beside later ones, each on a connection of its own."""
    import http.client

    quart = ROOT / "examples" / "quart_app"
    for name, flags in [("without", []), ("with --warm-up /", ["--warm-up", "/"])]:
        lazy = ["--lazy-imports", "auto", "--sleep-after", "1s"]
        served = Served(binary, "app:app", *lazy, "--health-path", "/healthz", *flags, cwd=quart)
        first, later = [], []
        try:
            for number in range(1, rounds + 1):
                served.wait_for("Asleep (", number)
                subprocess.run([binary, "ctl", "wake", str(served.pid)], check=True, capture_output=True)
                served.wait_for("Awake (", number)
                for kind in [first, *[later] * 20]:
                    # Each after a pause: a processor that rests takes the next request more slowly, whatever it is.
                    time.sleep(0.05)
                    began = time.monotonic()
                    connection = http.client.HTTPConnection(*served.address)
                    connection.request("GET", "/")
                    connection.getresponse().read()
                    connection.close()
                    kind.append((time.monotonic() - began) * 1000)
        finally:
            served.stop()
        one, usual = statistics.median(first), statistics.median(later)
        print(f"{name}: first {one:.2f} ms, later {usual:.2f} ms, {one / usual:.1f} times")


def day(binary: str, svg: str) -> None:
    """A day of an office's application, an hour a second and a half."""
    import http.client

    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    hour = 1.5
    busy = [0] * 7 + [1, 4, 6, 6, 4, 1, 5, 6, 5, 3, 1] + [0] * 2 + [1] + [0] * 3
    quart = ROOT / "examples" / "quart_app"
    curves = {}
    for name, flags in [("always awake", []), ("--sleep-after", ["--sleep-after", "1s"])]:
        served = Served(binary, "app:app", *flags, cwd=quart)
        samples: list[tuple[float, float]] = []
        over = threading.Event()
        began = time.monotonic()

        def sample(
            served: Served = served,
            samples: list = samples,
            over: threading.Event = over,
            began: float = began,
        ) -> None:
            while not over.wait(0.1):
                samples.append(((time.monotonic() - began) / hour, weight(served.pid, *served.workers())[0]))

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            for number, visits in enumerate(busy):
                for _ in range(visits):
                    connection = http.client.HTTPConnection(*served.address)
                    connection.request("GET", "/")
                    connection.getresponse().read()
                    connection.close()
                    time.sleep(hour / max(visits, 1) / 2)
                time.sleep(max(0, began + (number + 1) * hour - time.monotonic()))
        finally:
            over.set()
            thread.join()
            served.stop()
        curves[name] = samples
        mean = statistics.mean(value for _, value in samples)
        print(f"{name}: {mean:.1f} MB PSS on average")
    figure, axes = plt.subplots(figsize=(8, 3))
    for name, samples in curves.items():
        axes.plot(*zip(*samples, strict=True), label=name)
    axes.set(xlabel="hour of the day", ylabel="MB PSS", xlim=(0, 24), ylim=(0, None), xticks=range(0, 25, 3))
    axes.legend()
    figure.tight_layout()
    figure.savefig(svg)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--binary", default=os.environ.get("LOWMEM_SERVE_BIN", str(ROOT / "target/release/lowmem-serve"))
    )
    rows = parser.add_subparsers(dest="row", required=True)
    row = rows.add_parser("requests")
    row.add_argument("--count", type=int, default=100_000)
    row.add_argument("--clients", type=int, default=200)
    row.add_argument("--sleep-after", type=int, default=1)
    rows.add_parser("weight").add_argument("--connections", type=int, default=10_000)
    rows.add_parser("probes").add_argument("--count", type=int, default=1_000)
    rows.add_parser("warm-up").add_argument("--rounds", type=int, default=5)
    rows.add_parser("latency").add_argument("--rounds", type=int, default=5)
    rows.add_parser("day").add_argument("--svg", required=True)
    arguments = parser.parse_args()
    match arguments.row:
        case "requests":
            running = requests(arguments.binary, arguments.count, arguments.clients, arguments.sleep_after)
            return 0 if asyncio.run(running) else 1
        case "weight":
            weigh(arguments.binary, arguments.connections)
        case "latency":
            latency(arguments.binary, arguments.rounds)
        case "probes":
            return 0 if probes(arguments.binary, arguments.count) else 1
        case "warm-up":
            warm_up(arguments.binary, arguments.rounds)
        case "day":
            day(arguments.binary, arguments.svg)
    return 0


if __name__ == "__main__":
    sys.exit(main())
