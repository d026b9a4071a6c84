"""How long the server's processes were ready to run and the machine did not let them.

A machine that is busy with something else makes every server stall. Linux counts for each process
how long it has waited for a CPU (run_delay, the second figure of /proc/PID/schedstat), and for the
machine how long its hypervisor gave the CPUs to others (steal, /proc/stat). Where neither is counted,
nothing is excused.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import weigh

INTERVAL_SECONDS = 0.025
"""Between two looks: some for each stall that matters, at well under a hundredth of a CPU."""

STEAL = 8
"""Which field of the first line of /proc/stat, after its name as number 0; in ticks."""


class Waits:
    """Looks at a server's process tree from a thread of its own while the block runs."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._of_each: dict[int, float] = {}
        """Seconds that each process has waited, ended ones too."""
        self._looks: list[tuple[float, float]] = []
        """When, and how long all of them together had waited by then (s). Both only grow."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def at_most(self, seconds: float) -> float:
        """Return the longest that they together have waited (s) within any time of so many seconds."""
        return most_within(self._looks, seconds)

    def __enter__(self) -> Waits:
        """Begin."""
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, after a last look: a wait is only counted once it is over."""
        self._over.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._over.wait(INTERVAL_SECONDS):
            self._look()

    def _look(self) -> None:
        for pid in _tree(self._root):
            if (waited := _waited(pid)) is not None:
                self._of_each[pid] = waited
        self._looks.append((time.monotonic(), sum(self._of_each.values()) + _stolen()))


def most_within(looks: list[tuple[float, float]], seconds: float) -> float:
    """Return how much the second figure of the looks has grown within any time (s) at most.

    The time may have begun and ended between two looks: the ones around it are taken.
    """
    most, first = 0.0, 0
    for at, total in looks:
        while first + 1 < len(looks) and looks[first + 1][0] < at - seconds - 2 * INTERVAL_SECONDS:
            first += 1
        most = max(most, total - looks[first][1])
    return most


def _tree(root: int) -> list[int]:
    """Return the root and its descendants, without a look at every process of the machine."""
    tree = [root]
    for pid in tree:  # grows while it is walked
        try:
            children = (weigh.PROC / str(pid) / "task" / str(pid) / "children").read_text()
        except OSError:
            continue
        tree.extend(map(int, children.split()))
    return tree


def _waited(pid: int) -> float | None:
    try:
        return int((weigh.PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return None


def _stolen() -> float:
    fields = Path("/proc/stat").read_text().partition("\n")[0].split()
    return int(fields[STEAL]) / os.sysconf("SC_CLK_TCK") if len(fields) > STEAL else 0.0
