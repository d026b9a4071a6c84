"""What a process tree weighs and how much CPU it has used, as Linux accounts for it.

Importable on its own (the tests use it) and a command: `python benches/weigh.py PID…`.

PSS divides each shared page by the number of processes that map it, so the PSS of a server
falls when an unrelated process maps the same libpython. What is dirty does not: it is memory
that the tree has written and that no cache can give back. Read the two together.

Private dirty leaves out the written pages that a process shares with a child it has forked,
so it flatters a tree that forks (Granian, Gunicorn); `dirty` counts each of them once.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Weight:
    """Memory of a process tree, in KiB."""

    pss: int
    dirty: int
    """Proportional share of the written pages: those of the whole tree, once each."""
    private_dirty: int
    uss: int
    """Private pages, clean and dirty: what ending the tree would free."""
    rss: int
    processes: int

    def __add__(self, other: Weight) -> Weight:
        """Return the weight of both together."""
        return Weight(
            self.pss + other.pss,
            self.dirty + other.dirty,
            self.private_dirty + other.private_dirty,
            self.uss + other.uss,
            self.rss + other.rss,
            self.processes + other.processes,
        )


NOTHING = Weight(pss=0, dirty=0, private_dirty=0, uss=0, rss=0, processes=0)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of /proc/PID/stat that say whose child a process is and what it has used."""

    pid: int
    state: str
    parent: int
    session: int
    cpu_ticks: int
    """User and system time of the process, and of the children that it has reaped."""
    started: int
    """Ticks from boot to its start: with the pid, this names a process for good."""


def read_stat(pid: int) -> ProcessStat | None:
    """Return the process's stat line, or None when it has gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name may hold spaces and parentheses: count from the last one.
    fields = text[text.rindex(")") + 2 :].split()
    # fields[0] is field 3 of proc_pid_stat(5); utime to cstime are 14 to 17, the start is 22.
    return ProcessStat(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        cpu_ticks=sum(int(field) for field in fields[11:15]),
        started=int(fields[19]),
    )


def all_processes() -> list[ProcessStat]:
    """Return every process that is still there once it has been looked at."""
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [stat for stat in map(read_stat, pids) if stat is not None]


def process_tree(root: int) -> list[int]:
    """Return the root's pid and those of its living descendants, parents before children."""
    children: dict[int, list[int]] = {}
    for stat in all_processes():
        if stat.state != "Z":
            children.setdefault(stat.parent, []).append(stat.pid)
    tree = [root]
    for pid in tree:  # grows while it is walked
        tree.extend(children.get(pid, []))
    return tree


def is_asleep(pid: int) -> bool:
    """Return whether a process waits for something to happen: it has done what it had to do.

    A server that has just answered, or just told that it is ready, may still be giving memory back.
    """
    stat = read_stat(pid)
    return stat is None or stat.state in "SZ"


def weigh_process(pid: int) -> Weight:
    """Return the weight of one process; NOTHING when it has gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    except (FileNotFoundError, ProcessLookupError):
        return NOTHING
    if not lines:
        return NOTHING  # it has ended, and was not reaped yet
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Weight(
        pss=kib["Pss"],
        dirty=kib.get("Pss_Dirty", kib["Private_Dirty"]),  # Linux 6.0 was the first to say
        private_dirty=kib["Private_Dirty"],
        uss=kib["Private_Clean"] + kib["Private_Dirty"],
        rss=kib["Rss"],
        processes=1,
    )


def weigh_tree(root: int) -> Weight:
    """Return the weight of a process and all its descendants."""
    return sum(map(weigh_process, process_tree(root)), NOTHING)


def cpu_seconds(root: int) -> float:
    """Return the CPU time (s) that a process tree has used, reaped children included."""
    stats = map(read_stat, process_tree(root))
    return sum(stat.cpu_ticks for stat in stats if stat is not None) / TICKS_PER_SECOND


def mapped_libraries(pid: int) -> set[str]:
    """Return the paths of the files that a process maps as code; empty when not allowed."""
    try:
        lines = (PROC / str(pid) / "maps").read_text().splitlines()
    except OSError:
        return set()
    fields = (line.split(maxsplit=5) for line in lines)
    return {field[5] for field in fields if len(field) == 6 and "x" in field[1]}


def main(arguments: list[str]) -> int:
    """Print the weight of each tree that is named by its root's pid."""
    if not arguments or not all(argument.isdigit() for argument in arguments):
        print("usage: weigh.py PID…", file=sys.stderr)
        return 2
    for pid in map(int, arguments):
        weight = weigh_tree(pid)
        print(
            f"{pid}: PSS {weight.pss} KiB, dirty {weight.dirty} KiB, "
            f"private dirty {weight.private_dirty} KiB, "
            f"USS {weight.uss} KiB, RSS {weight.rss} KiB, processes {weight.processes}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
