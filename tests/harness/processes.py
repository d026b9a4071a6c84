"""Processes as /proc shows them. Nothing here touches a process that the tests did not start."""

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """The living children of a process, the oldest first."""
    return sorted(each for each, parent, _ in _living() if parent == pid)


def in_session(session: int) -> list[int]:
    """The living processes of a session: a process stays in it whichever its parent becomes."""
    return sorted(each for each, _, its_session in _living() if its_session == session)


def wait_for_exit(pid: int, timeout: float) -> bool:
    """Whether the process has ended (a zombie has) before the time is up."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ended, _, _ = select.select([descriptor], [], [], timeout)
        return bool(ended)
    finally:
        os.close(descriptor)


def _living() -> Iterator[tuple[int, int, int]]:
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The command between the parentheses may itself hold spaces and parentheses.
        state, parent, _group, session = stat.rpartition(")")[2].split()[:4]
        if state not in "ZX":
            yield int(entry.name), int(parent), int(session)


def wait_until_asleep(pid: int, timeout: float = 20) -> None:
    """Until the process waits for something to happen: what it has just told of may not be over yet."""
    deadline = time.monotonic() + timeout
    while (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline, f"process {pid} is still busy"
        time.sleep(0.005)


def is_reaped(pid: int, timeout: float) -> bool:
    """Whether an ended process stops being a zombie in time. Only its parent is told; we must ask."""
    deadline = time.monotonic() + timeout
    while (PROC / str(pid)).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
