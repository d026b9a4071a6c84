"""The machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import weigh

PYTHON_FILES = ("libpython", "/python3")
"""Parts of the paths of Python's code."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, as far as the figures depend on it."""

    cpu: str
    cores: int
    memory_mib: int
    kernel: str
    distribution: str


def describe() -> Machine:
    """Ask the running system."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=memory_bytes // 2**20,
        kernel=platform.release(),
        distribution=_distribution(),
    )


def sharers() -> list[int]:
    """Return the other processes that map a Python: they lower the PSS of every server."""
    others = (stat.pid for stat in weigh.all_processes() if stat.pid != os.getpid())
    return [
        pid
        for pid in others
        if any(name in path for path in weigh.mapped_libraries(pid) for name in PYTHON_FILES)
    ]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
