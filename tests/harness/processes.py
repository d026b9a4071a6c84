"""Processes as /proc shows them. Nothing here touches a process that the tests did not start."""

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")


class Process(NamedTuple):
    """A living process."""

    pid: int
    parent: int
    session: int
    started: int
    """In ticks from the boot on."""


def children(pid: int) -> list[int]:
    """The living children of a process, the oldest first."""
    return [each.pid for each in _living() if each.parent == pid]


def in_session(session: int) -> list[int]:
    """The living processes of a session, the oldest first: a process stays in it whichever its parent becomes."""
    return [each.pid for each in _living() if each.session == session]


def wait_for_exit(pid: int, timeout: float) -> bool:
    """Whether the process has ended (a zombie has) before the time is up."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        # Not `select`, which takes no descriptor beyond 1023.
        end = select.poll()
        end.register(descriptor, select.POLLIN)
        return bool(end.poll(timeout * 1000))
    finally:
        os.close(descriptor)


def _living() -> list[Process]:
    """In the order of their starts, which is not that of pids: those begin anew after the highest."""
    return sorted(_seen(), key=lambda each: (each.started, each.pid))


def _seen() -> Iterator[Process]:
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # The command between the parentheses may itself hold spaces and parentheses.
        fields = stat.rpartition(")")[2].split()
        if fields[0] not in "ZX":
            yield Process(int(entry.name), int(fields[1]), int(fields[3]), int(fields[19]))


def is_reaped(pid: int, timeout: float) -> bool:
    """Whether an ended process stops being a zombie in time. Only its parent is told; we must ask."""
    deadline = time.monotonic() + timeout
    while (PROC / str(pid)).exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True
