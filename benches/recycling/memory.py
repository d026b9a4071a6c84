"""A server's process tree, weighed again and again while it is under load."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import asdict, dataclass
from statistics import median

import weigh

INTERVAL_SECONDS = 0.1
"""Between two weighings: a swap takes longer. Weighing one process takes about a millisecond."""

REAPED_WITHIN_SECONDS = 10.0
"""Every child is a zombie for a moment when it has ended, a longer one on a busy machine."""

ASLEEP_WITHIN_SECONDS = 10.0
"""After a start or a swap the supervisor gives memory back, and then waits."""


@dataclass(frozen=True, slots=True)
class Supervisor:
    """The root of the tree alone."""

    private_dirty_kib: int
    """Dirty alone: how much of its program's file is private depends on what the workers have mapped of it."""
    pss_kib: int
    descriptors: int
    zombies: int
    """Ended children that were not reaped."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One weighing of the tree."""

    at: float
    """Seconds from the first one."""
    pss_kib: int
    private_dirty_kib: int
    processes: int


def supervisor(pid: int) -> Supervisor:
    """Weigh the root of a tree and count what it holds, once it has nothing to do."""
    zombies = _zombies(pid)
    deadline = time.monotonic() + ASLEEP_WITHIN_SECONDS
    while not weigh.is_asleep(pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    weight = weigh.weigh_process(pid)
    return Supervisor(
        private_dirty_kib=weight.private_dirty,
        pss_kib=weight.pss,
        descriptors=len(os.listdir(weigh.PROC / str(pid) / "fd")),
        zombies=zombies,
    )


def _zombies(pid: int) -> int:
    """Count the ended children that stay unreaped."""
    deadline = time.monotonic() + REAPED_WITHIN_SECONDS
    while True:
        count = sum(stat.state == "Z" and stat.parent == pid for stat in weigh.all_processes())
        if not count or time.monotonic() > deadline:
            return count
        time.sleep(0.05)


class Sampler:
    """Weighs a tree from a thread of its own while the block runs."""

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._weigh)

    @property
    def peak_pss_kib(self) -> int:
        """The heaviest that the tree has been."""
        return max((sample.pss_kib for sample in self.samples), default=0)

    @property
    def usual_pss_kib(self) -> int:
        """The median of its weights."""
        return round(median(sample.pss_kib for sample in self.samples)) if self.samples else 0

    @property
    def peak_dirty_kib(self) -> int:
        """The most private dirty memory that the tree has had."""
        return max((sample.private_dirty_kib for sample in self.samples), default=0)

    @property
    def usual_dirty_kib(self) -> int:
        """The private dirty memory that it had half of the time."""
        return round(median(sample.private_dirty_kib for sample in self.samples)) if self.samples else 0

    @property
    def most_processes(self) -> int:
        """How many there were at once, supervisor and helpers included."""
        return max((sample.processes for sample in self.samples), default=0)

    def as_rows(self) -> list[dict[str, float]]:
        """Return the samples for a report."""
        return [asdict(sample) for sample in self.samples]

    def __enter__(self) -> Sampler:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()

    def _weigh(self) -> None:
        began = time.monotonic()
        while not self._over.wait(INTERVAL_SECONDS):
            weight = weigh.weigh_tree(self._pid)
            at = round(time.monotonic() - began, 2)
            self.samples.append(Sample(at, weight.pss, weight.private_dirty, weight.processes))
