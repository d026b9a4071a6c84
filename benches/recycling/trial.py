"""One server in one scenario."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import weigh
from comparison.environment import CERTIFICATE
from recycling import load, memory
from recycling.scenarios import Drive, Scenario
from recycling.servers import GRACE_SECONDS, Server
from recycling.serving import Running, running
from recycling.tally import Tally
from recycling.waits import Waits
from recycling.wire import Endpoint

FAULTS = ("import", "startup", "hang", "")
"""The ways in which successors fail, an equal share of the time each; the last one is good."""

SETTLE_SECONDS = GRACE_SECONDS + 5.0
"""For the workers that still drain, after the load."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The result."""

    server: str
    scenario: Scenario
    workers: int
    seconds: float
    command: list[str]
    tally: Tally
    start_seconds: float
    """From the spawn to the first answer."""
    pss_before_kib: int
    """The tree, before the load."""
    memory: memory.Sampler
    before: memory.Supervisor
    after: memory.Supervisor | None
    """None when it had ended."""
    exit_code: int | None
    """When it ended by itself."""
    not_shut_down: list[int]
    """Workers that answered and ended without lifespan shutdown, but for those that were killed."""
    log_tail: str

    @property
    def swaps(self) -> int:
        """How many workers came after the first."""
        return max(0, len(self.tally.workers) - self.workers)


@dataclass(slots=True)
class Victims:
    """Workers that were killed on purpose."""

    pids: list[int] = field(default_factory=list)


def run(server: Server, scenario: Scenario, seconds: float) -> Trial:
    """Start the server, load it while it recycles, and end it."""
    victims = Victims()
    with running(server, scenario) as started:
        before = memory.supervisor(started.pid)
        pss_before = weigh.weigh_tree(started.pid).pss
        processes = len(weigh.process_tree(started.pid))
        with memory.Sampler(started.pid) as sampler, Waits(started.pid) as waits:
            tally = asyncio.run(_load(started, scenario, seconds, victims))
        tally.waits = waits
        exit_code = started.process.poll()
        after = None
        if exit_code is None:
            _settle(started, processes)
            after = memory.supervisor(started.pid)
            started.process.terminate()
            _wait(started, GRACE_SECONDS)
        not_shut_down = set(tally.workers) - started.shut_down() - set(victims.pids)
        return Trial(
            server=server.name,
            scenario=scenario,
            workers=max(server.least_workers, scenario.workers),
            seconds=seconds,
            command=started.command,
            tally=tally,
            start_seconds=started.start_seconds,
            pss_before_kib=pss_before,
            memory=sampler,
            before=before,
            after=after,
            exit_code=exit_code,
            not_shut_down=sorted(not_shut_down),
            log_tail=started.tail(),
        )


async def _load(started: Running, scenario: Scenario, seconds: float, victims: Victims) -> Tally:
    async def hang_up(_: Tally) -> None:
        while True:
            await asyncio.sleep(scenario.period)
            started.hang_up()

    async def fail(_: Tally) -> None:
        times = max(1, int(seconds / len(FAULTS) / scenario.period))
        for fault in FAULTS:
            started.fault.write_text(fault)
            for _ in range(times):
                started.hang_up()
                await asyncio.sleep(seconds / len(FAULTS) / times)

    async def kill(tally: Tally) -> None:
        while True:
            await asyncio.sleep(scenario.period)
            worker = list(tally.workers)[-1]
            victims.pids.append(worker)
            started.kill(worker)

    triggers = {Drive.ITSELF: None, Drive.HANGUP: hang_up, Drive.FAULTS: fail, Drive.KILL: kill}
    endpoint = Endpoint.of(("127.0.0.1", started.port), scenario.transport, CERTIFICATE)
    return await load.run(endpoint, scenario.mix, seconds, triggers[scenario.drive])


def _settle(started: Running, processes: int) -> None:
    """Wait until there are no more processes than before the load."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while len(weigh.process_tree(started.pid)) > processes and time.monotonic() < deadline:
        time.sleep(0.05)


def _wait(started: Running, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while started.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
