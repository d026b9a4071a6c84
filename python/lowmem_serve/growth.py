"""The contents of a worker's heap: the count of `--growth`, taken in slices between which the worker serves.

A generator is a count under way: the worker advances it a step at a time, and the count is the value that it
returns. The counted objects are not kept.
"""

import gc
import sys
from collections.abc import Generator
from typing import Any

Counts = dict[str, tuple[int, int]]
"""By name: objects, and the bytes that they take themselves."""

SLICE = 2000
"""So many references or traces are looked at in one step: some milliseconds on a slow machine."""

IMMORTAL = 1 << 28
"""CPython 3.12 and later give what is never freed a reference count beyond this."""

UNTRACKED_CONTAINERS = (tuple, dict, frozenset)
"""The collector lets go of these while they hold nothing that could be part of a cycle."""

BOOT = "<string>"
"""Where the lines that start a worker are."""

SERVER = "(the server itself)"


def references(holder: Any) -> int:
    """The reference count of something as the loop in `by_type` sees it."""
    for each in gc.get_referents(holder):
        count = sys.getrefcount(each)
    return count


OWN_REFERENCES = references([b"held once"[1:]]) - 1
"""Those of a count under way: the list that something is in, and names."""


class Census:
    """Objects and bytes by type; parts of them, where something is divided."""

    def __init__(self) -> None:
        self._totals: dict[type, list[float]] = {}

    def add(self, each: Any, share: float) -> None:
        total = self._totals.setdefault(type(each), [0.0, 0.0])
        total[0] += share
        try:
            total[1] += share * sys.getsizeof(each, 0)
        except Exception:
            # A class may say anything about its size, and fail.
            return

    def by_name(self) -> Counts:
        """Types that share a name count together: a class that is made again and again grows, too."""
        named: dict[str, list[float]] = {}
        for kind, (objects, size) in self._totals.items():
            total = named.setdefault(type_name(kind), [0.0, 0.0])
            total[0] += objects
            total[1] += size
        return {name: (round(objects), round(size)) for name, (objects, size) in named.items()}


def type_name(kind: type) -> str:
    """`package.module.Class`; for a builtin the bare name."""
    module = getattr(kind, "__module__", None)
    name = getattr(kind, "__qualname__", kind.__name__)
    return name if not isinstance(module, str) or module == "builtins" else f"{module}.{name}"


def by_type() -> Generator[None, None, Counts]:
    """Counts the heap. Garbage is collected first: it is no growth.

    The collector lists containers. Strings, bytes, arrays are found through the objects that refer to them,
    and each is divided among them, as PSS divides a page: it counts once without a list of what has
    been counted.
    """
    gc.collect()
    yield
    objects = gc.get_objects()
    yield
    census = Census()
    visited = 0
    while objects:
        tracked = objects.pop()
        census.add(tracked, 1.0)
        holders = [(tracked, 1.0)]
        while holders:
            holder, share = holders.pop()
            for each in gc.get_referents(holder):
                visited += 1
                if visited % SLICE == 0:
                    yield
                if gc.is_tracked(each):
                    continue
                count = sys.getrefcount(each) - OWN_REFERENCES
                if count >= IMMORTAL:
                    continue
                part = share / max(count, 1)
                census.add(each, part)
                if type(each) in UNTRACKED_CONTAINERS:
                    holders.append((each, part))
    return census.by_name()


def start_tracing(frames: int) -> None:
    """From now on allocations are remembered with the lines that made them."""
    import tracemalloc

    tracemalloc.start(frames)


def by_line() -> Generator[None, None, Counts]:
    """Counts the allocations since `start_tracing` that are still there, by `file:line`; where more
    frames are traced, a line for each, the one that allocated first."""
    import tracemalloc

    traces = iter(tracemalloc.take_snapshot().traces)
    yield
    totals: dict[Any, list[int]] = {}
    for visited, trace in enumerate(traces, 1):
        if visited % SLICE == 0:
            yield
        total = totals.setdefault(trace.traceback, [0, 0])
        total[0] += 1
        total[1] += trace.size
    own = {__file__, tracemalloc.__file__}
    counts: Counts = {}
    for visited, (traceback, (objects, size)) in enumerate(totals.items(), 1):
        if visited % SLICE == 0:
            yield
        if traceback[-1].filename not in own:
            name = place(traceback)
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + objects, before[1] + size)
    return counts


def place(traceback: Any) -> str:
    """The lines of a traceback, but for those that have started the worker."""
    frames = list(traceback)
    while frames and frames[0].filename == BOOT:
        del frames[0]
    return "\n".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames)) or SERVER
