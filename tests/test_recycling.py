"""A worker is replaced under load, and the clients of benches/recycling notice nothing.

The same load generator as `python benches/recycle.py`, a few seconds at a time.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from harness import REPOSITORY, Server, processes
from harness.authority import Authority

sys.path.insert(0, str(REPOSITORY / "benches"))

from recycling import goals, load
from recycling.memory import Sampler, supervisor
from recycling.scenarios import Style
from recycling.tally import Tally
from recycling.waits import Waits, most_within
from recycling.wire import Endpoint, Transport

APPS = REPOSITORY / "benches" / "recycling" / "apps"

START_SECONDS = 0.3
"""What the application's import takes."""

START = START_SECONDS + 0.7
"""What the start of a worker may take."""

SLOWER_STARTS = 2.0
"""On a slow machine: how much longer than the server's own start, which is measured."""

GRACE_SECONDS = 4
"""Streams and uploads end in half of it, also on a busy machine; events have to be told to end."""

KEEP_ALIVE_SECONDS = 60
"""Longer than a test holds a connection."""

GIVES_UP_SECONDS = 3
"""--timeout-worker-startup where a successor hangs: more than a good one takes on a slow machine."""

PATIENCE = 40
"""Seconds after which a test takes what it waits for to hang."""

FLAGS = (
    "--no-access-log",
    *("--timeout-graceful-shutdown", str(GRACE_SECONDS)),
    *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)),
)

SHORT = load.Mix(streams=0, uploads=0, websockets=0, events=0, idle=10, idle_seconds=1.5)
"""No exchange that takes longer than a start."""


@pytest.fixture
def recycled(server, tmp_path: Path):
    """Starts the application of the benches with these flags; `fault` is what it does when it starts again."""

    def start(*flags: str) -> Server:
        env = {
            "RECYCLING_IMPORT_SECONDS": str(START_SECONDS),
            "RECYCLING_FAULT": str(tmp_path / "fault"),
        }
        return server("exchanges:app", *FLAGS, *flags, cwd=APPS, env=env)

    return start


def under_load(
    server: Server,
    seconds: float,
    mix: load.Mix = load.SMALL,
    trigger: load.Trigger | None = None,
    enough: load.Enough | None = None,
) -> Tally:
    """For so many seconds, and longer on a machine on which there is not enough by then."""
    endpoint = endpoint_of(server, Transport.PLAIN)
    return timed(server, load.run(endpoint, mix, seconds, trigger, enough))


def endpoint_of(server: Server, transport: Transport, roots: str = "") -> Endpoint:
    assert not isinstance(server.address, str)
    return Endpoint.of(server.address, transport, roots)


def timed(server: Server, running: Coroutine[None, None, Tally]) -> Tally:
    """The tally of a load, with what the server has waited for a CPU meanwhile."""
    with Waits(server.pid) as waits:
        tally = asyncio.run(running)
    tally.waits = waits
    return tally


def hang_up(server: Server, period: float) -> load.Trigger:
    """SIGHUP again and again, with so many seconds between."""

    async def trigger(_: Tally) -> None:
        while True:
            await asyncio.sleep(period)
            server.send_signal(signal.SIGHUP)

    return trigger


def assert_unnoticed(tally: Tally, style: Style = Style.OVERLAP, server: Server | None = None) -> None:
    """With the server, requests may wait for a start, by as much as this machine takes for one."""
    start = max(START, SLOWER_STARTS * server.start_seconds) if server else 0.0
    noticed = list(goals.missed_by_clients(tally, style, start))
    assert not noticed, "\n".join([*noticed, *map(str, tally.examples)])


def swaps(tally: Tally, workers: int = 1) -> int:
    return len(tally.workers) - workers


def swapped(times: int, workers: int = 1) -> load.Enough:
    return lambda tally: swaps(tally, workers) >= times


# --- triggers


def test_a_ttl_goes_unnoticed(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s"), seconds=5, enough=swapped(2))
    assert_unnoticed(tally)
    assert swaps(tally) >= 2


def test_a_hangup_goes_unnoticed(recycled) -> None:
    started = recycled()
    tally = under_load(started, seconds=5, trigger=hang_up(started, 1.5), enough=swapped(2))
    assert_unnoticed(tally)
    assert swaps(tally) >= 2


def test_a_limit_of_requests_goes_unnoticed(recycled) -> None:
    tally = under_load(recycled("--max-requests", "500"), seconds=4, enough=swapped(1))
    assert_unnoticed(tally)
    assert swaps(tally) >= 1


def test_a_limit_of_memory_goes_unnoticed(recycled) -> None:
    started = recycled("--max-rss", "50M")
    # Nothing slow: while the old worker finishes that, the new one leaks already.
    leaking = replace(load.SMALL, streams=0, uploads=0, websockets=0, events=0, leak_kib_per_second=10 * 1024)
    with Sampler(started.pid) as weighed:
        tally = under_load(started, seconds=8, mix=leaking, enough=swapped(1))
    assert_unnoticed(tally)
    assert swaps(tally) >= 1
    assert weighed.peak_pss_kib < 3 * 50 * 1024


def test_two_workers_with_a_ttl_go_unnoticed(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s", "--workers", "2"), seconds=5, enough=swapped(2, workers=2))
    assert_unnoticed(tally)
    assert swaps(tally, workers=2) >= 2


@pytest.mark.parametrize("transport", [Transport.TLS, Transport.HTTP2, Transport.H2C], ids=lambda it: it.name)
def test_recycling_goes_unnoticed_over_connections_that_cannot_move(
    recycled, tmp_path: Path, transport: Transport
) -> None:
    authority = Authority(tmp_path)
    started = recycled(*(authority.flags if transport.is_encrypted else ()))
    endpoint = endpoint_of(started, transport, authority.roots)

    def enough(tally: Tally) -> bool:
        return swaps(tally) >= 1 and tally.moved > 0

    tally = timed(started, load.run(endpoint, load.SMALL, 5, hang_up(started, 1.5), enough))
    # Nothing of stalls: handshakes take their time where several tests share the machine.
    assert not tally.failures, "\n".join(map(str, tally.examples))
    assert swaps(tally) >= 1
    assert tally.moved > 0


# --- one at a time


def test_requests_wait_for_a_sequential_swap_and_none_is_refused(recycled) -> None:
    started = recycled("--ttl", "1s", "--recycle", "sequential")
    with Sampler(started.pid) as weighed:
        tally = under_load(started, seconds=5, mix=SHORT, enough=swapped(2))
    assert_unnoticed(tally, Style.SEQUENTIAL, started)
    assert swaps(tally) >= 2
    assert weighed.most_processes <= 2, "two workers at once"


def test_what_takes_long_outlives_a_sequential_swap(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s", "--recycle", "sequential"), seconds=5, enough=swapped(1))
    assert not tally.failures, "\n".join([str(tally.what_failed()), *map(str, tally.examples)])
    assert swaps(tally) >= 1


# --- successors that fail, workers that die


@pytest.mark.parametrize("fault", ["import", "startup", "hang", "hang-import"])
def test_the_old_worker_serves_on_when_its_successor_fails(recycled, tmp_path: Path, fault: str) -> None:
    started = recycled("--timeout-worker-startup", str(GIVES_UP_SECONDS))
    (tmp_path / "fault").write_text(fault)
    (worker,) = started.worker_pids()
    tally = under_load(started, seconds=4, trigger=hang_up(started, 1.2))
    assert_unnoticed(tally)
    assert list(tally.workers) == [worker]
    (tmp_path / "fault").unlink()
    recovered = under_load(started, seconds=4, trigger=hang_up(started, 0.5), enough=swapped(1))
    assert_unnoticed(recovered)
    assert swaps(recovered) >= 1, "no successor was tried again"


def test_none_is_refused_when_the_only_worker_is_killed(recycled) -> None:
    started = recycled()

    async def kill(_: Tally) -> None:
        await asyncio.sleep(1.5)
        os.kill(started.worker_pids()[0], signal.SIGKILL)

    tally = under_load(started, seconds=4, trigger=kill, enough=swapped(1))
    assert_unnoticed(tally, Style.CRASH, started)
    assert swaps(tally) == 1


# --- what is left


def test_the_supervisor_keeps_nothing_of_many_swaps(recycled) -> None:
    started = recycled()
    before = supervisor(started.pid)
    tally = under_load(started, seconds=6, mix=SHORT, trigger=hang_up(started, 0.5), enough=swapped(5))
    assert swaps(tally) >= 5
    # What swaps need goes when their workers have ended; the last swap may just have begun.
    wait_until(lambda: len(processes.children(started.pid)) == 1)
    wait_until(lambda: supervisor(started.pid).descriptors == before.descriptors)
    after = supervisor(started.pid)
    assert after.zombies == 0
    assert after.private_dirty_kib <= before.private_dirty_kib + goals.SUPERVISOR_GROWTH_KIB


def test_every_worker_runs_its_lifespan_shutdown(recycled) -> None:
    started = recycled()
    tally = under_load(started, seconds=4, trigger=hang_up(started, 1.2))
    started.terminate()
    written = started.stdout.wait_for_end()
    for worker in tally.workers:
        assert f"lifespan shutdown of {worker}" in written


def wait_until(condition: Callable[[], bool]) -> None:
    """Nothing tells what /proc will show: it is looked at again and again."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


# --- how it is judged


def test_a_stall_is_excused_by_what_was_waited_for_a_cpu_within_its_time() -> None:
    # Seconds, and the seconds waited by then: 0.2 of them between two and three.
    looks = [(0.0, 5.0), (1.0, 5.0), (2.0, 5.0), (3.0, 5.2), (4.0, 5.2), (5.0, 5.3)]
    assert most_within([], 1.0) == 0
    assert most_within(looks, 0.5) == pytest.approx(0.2)
    assert most_within(looks, 1.5) == pytest.approx(0.2)
    assert most_within(looks, 4.0) == pytest.approx(0.3)
