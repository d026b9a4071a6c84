"""A worker is replaced under load, and the clients of benches/recycling notice nothing.

The same load generator as `python benches/recycle.py`, a few seconds at a time.
"""

import asyncio
import os
import signal
import sys
import time
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
from recycling.wire import Endpoint, Transport

APPS = REPOSITORY / "benches" / "recycling" / "apps"

START_SECONDS = 0.3
"""What the application's import takes."""

START = START_SECONDS + 0.7
"""What the start of a worker may take where several tests share the machine."""

GRACE_SECONDS = 4
"""Streams and uploads end in half of it, also on a busy machine; events have to be told to end."""

KEEP_ALIVE_SECONDS = 30
"""Longer than a test holds a connection."""

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
    *,
    transport: Transport = Transport.PLAIN,
    roots: str = "",
) -> Tally:
    assert not isinstance(server.address, str)
    endpoint = Endpoint.of(server.address, transport, roots)
    return asyncio.run(load.run(endpoint, mix, seconds, trigger))


def hang_up(server: Server, period: float) -> load.Trigger:
    """SIGHUP again and again, with so many seconds between."""

    async def trigger(_: Tally) -> None:
        while True:
            await asyncio.sleep(period)
            server.send_signal(signal.SIGHUP)

    return trigger


def assert_unnoticed(tally: Tally, style: Style = Style.OVERLAP, start_seconds: float = START) -> None:
    noticed = list(goals.missed_by_clients(tally, style, start_seconds))
    assert not noticed, "\n".join([*noticed, *map(str, tally.examples)])


def swaps(tally: Tally, workers: int = 1) -> int:
    return len(tally.workers) - workers


# --- triggers


def test_nobody_notices_a_ttl(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s"), seconds=5)
    assert_unnoticed(tally)
    assert swaps(tally) >= 2


def test_nobody_notices_a_hangup(recycled) -> None:
    started = recycled()
    tally = under_load(started, seconds=5, trigger=hang_up(started, 1.5))
    assert_unnoticed(tally)
    assert swaps(tally) >= 2


def test_nobody_notices_a_limit_of_requests(recycled) -> None:
    tally = under_load(recycled("--max-requests", "500"), seconds=4)
    assert_unnoticed(tally)
    assert swaps(tally) >= 1


def test_nobody_notices_a_limit_of_memory(recycled) -> None:
    started = recycled("--max-rss", "50M")
    # Nothing slow: while the old worker finishes that, the new one leaks already.
    leaking = replace(load.SMALL, streams=0, uploads=0, websockets=0, events=0, leak_kib_per_second=20 * 1024)
    with Sampler(started.pid) as weighed:
        tally = under_load(started, seconds=8, mix=leaking)
    assert_unnoticed(tally)
    assert swaps(tally) >= 1
    assert weighed.peak_pss_kib < 3 * 50 * 1024


def test_nobody_notices_two_workers_with_a_ttl(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s", "--workers", "2"), seconds=5)
    assert_unnoticed(tally)
    assert swaps(tally, workers=2) >= 2


@pytest.mark.parametrize("transport", [Transport.TLS, Transport.HTTP2, Transport.H2C], ids=lambda it: it.name)
def test_nobody_notices_over_connections_that_cannot_move(
    recycled, tmp_path: Path, transport: Transport
) -> None:
    authority = Authority(tmp_path)
    started = recycled(*(authority.flags if transport.is_encrypted else ()))
    tally = under_load(
        started, seconds=5, trigger=hang_up(started, 1.5), transport=transport, roots=authority.roots
    )
    # Nothing of stalls: handshakes take their time where several tests share the machine.
    assert not tally.failures, "\n".join(map(str, tally.examples))
    assert swaps(tally) >= 1
    assert tally.moved > 0


# --- one at a time


def test_requests_wait_for_a_sequential_swap_and_none_is_refused(recycled) -> None:
    started = recycled("--ttl", "1s", "--recycle", "sequential")
    with Sampler(started.pid) as weighed:
        tally = under_load(started, seconds=5, mix=SHORT)
    assert_unnoticed(tally, Style.SEQUENTIAL)
    assert swaps(tally) >= 2
    assert weighed.most_processes <= 2, "two workers at once"


def test_what_takes_long_outlives_a_sequential_swap(recycled) -> None:
    tally = under_load(recycled("--ttl", "1s", "--recycle", "sequential"), seconds=5)
    assert not tally.failures, "\n".join([str(tally.what_failed()), *map(str, tally.examples)])
    assert swaps(tally) >= 1


# --- successors that fail, workers that die


@pytest.mark.parametrize("fault", ["import", "startup", "hang", "hang-import"])
def test_the_old_worker_serves_on_when_its_successor_fails(recycled, tmp_path: Path, fault: str) -> None:
    started = recycled("--timeout-worker-startup", "1")
    (tmp_path / "fault").write_text(fault)
    (worker,) = started.worker_pids()
    tally = under_load(started, seconds=4, trigger=hang_up(started, 1.2))
    assert_unnoticed(tally)
    assert list(tally.workers) == [worker]
    (tmp_path / "fault").unlink()
    recovered = under_load(started, seconds=4, trigger=hang_up(started, 0.5))
    assert_unnoticed(recovered)
    assert swaps(recovered) >= 1, "no successor was tried again"


def test_none_is_refused_when_the_only_worker_is_killed(recycled) -> None:
    started = recycled()

    async def kill(_: Tally) -> None:
        await asyncio.sleep(1.5)
        os.kill(started.worker_pids()[0], signal.SIGKILL)

    tally = under_load(started, seconds=4, trigger=kill)
    assert_unnoticed(tally, Style.CRASH)
    assert swaps(tally) == 1


# --- what is left


def test_the_supervisor_keeps_nothing_of_many_swaps(recycled) -> None:
    started = recycled()
    before = supervisor(started.pid)
    tally = under_load(started, seconds=6, mix=SHORT, trigger=hang_up(started, 0.5))
    assert swaps(tally) >= 5
    assert only_one_worker_is_left(started)
    after = supervisor(started.pid)
    assert after.descriptors == before.descriptors
    assert after.zombies == 0
    assert after.private_dirty_kib <= before.private_dirty_kib + goals.SUPERVISOR_GROWTH_KIB


def test_every_worker_runs_its_lifespan_shutdown(recycled) -> None:
    started = recycled()
    tally = under_load(started, seconds=4, trigger=hang_up(started, 1.2))
    started.terminate()
    written = started.stdout.wait_for_end()
    for worker in tally.workers:
        assert f"lifespan shutdown of {worker}" in written


def only_one_worker_is_left(server: Server) -> bool:
    """Whether all that drain end within the grace period."""
    deadline = time.monotonic() + GRACE_SECONDS + START
    while len(processes.children(server.pid)) > 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
