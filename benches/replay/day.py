"""A day in some minutes: the memory of the first and of the last state, hour by hour.

The site is used from 7 to 23 o'clock, with three reports; the index is made every six hours; the last state recycles
its worker every six hours and sleeps after ten idle minutes. All times are scaled alike.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from replay import load, states
from weigh import weigh_tree

HOURS = 24
OPENS, CLOSES = 7, 23
REPORTS = (9, 14, 18)
EVERY_HOURS = 6
SAMPLES_AN_HOUR = 8
EVENTS = {"recycled": rb"Recycled worker", "asleep": rb"Asleep \(", "job": rb"indexed"}


@dataclass(slots=True)
class Day:
    """One state's day. Times are hours since midnight, memory is MB of 1024²."""

    name: str
    hours: list[float] = field(default_factory=list)
    web: list[float] = field(default_factory=list)
    indexer: list[float] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    requests: int = 0
    slowest_ms: float = 0.0

    def evening(self) -> tuple[float, float]:
        """Web and indexer, the median of the last hour in which the site was used."""
        last = [at for at, hour in enumerate(self.hours) if CLOSES - 1 <= hour < CLOSES]
        return _median([self.web[at] for at in last]), _median([self.indexer[at] for at in last])

    def night(self) -> float:
        """Both together, the median of the hours before the site is used, but for the index."""
        asleep = [at for at, hour in enumerate(self.hours) if 3 <= hour < 5]
        return _median([self.web[at] + self.indexer[at] for at in asleep])


def before(site: states.Site, hour_seconds: float) -> Day:
    """The day of the first state, whose indexer is a process of its own."""
    first = states.states(site)[0]
    day = Day(first.name)
    every = {"CASE_EVERY": f"{EVERY_HOURS * hour_seconds:g}"}
    with states.daemon(site, every) as indexer, states.served(first, site) as (pid, port, log):
        _replayed(day, site, hour_seconds, pid, port, log.fileno(), indexer)
    return day


def after(site: states.Site, hour_seconds: float) -> Day:
    """The day of the last state: recycled, asleep at night, the indexer a job of the same server."""
    last = states.states(site)[-1]
    cycle, rest = f"{round(EVERY_HOURS * hour_seconds)}s", f"{max(1, round(hour_seconds / 6))}s"
    flags = ("--ttl", cycle, "--sleep-after", rest, "--job", states.JOB.format(every=cycle))
    words = site.ours("--lazy-imports", "auto,training,store", *flags)
    state = states.State("after: lowmem-serve", words, last.folder)
    day = Day(state.name)
    with states.served(state, site) as (pid, port, log):
        _replayed(day, site, hour_seconds, pid, port, log.fileno(), None)
    return day


def _replayed(
    day: Day, site: states.Site, hour_seconds: float, pid: int, port: int, log: int, indexer: int | None
) -> None:
    ended = threading.Event()
    began = time.monotonic()
    sampler = threading.Thread(target=_sample, args=(day, began, hour_seconds, pid, log, indexer, ended))
    sampler.start()
    try:
        times = load.Times()
        for at, request in schedule(site):
            time.sleep(max(0.0, began + at * hour_seconds - time.monotonic()))
            load.send(port, request, times)
        time.sleep(max(0.0, began + HOURS * hour_seconds - time.monotonic()))
    finally:
        ended.set()
        sampler.join()
    day.requests = sum(map(len, times.all.values()))
    day.slowest_ms = max(time for kind in load.WEIGHTS for time in times.all[kind])


def schedule(site: states.Site) -> Iterator[tuple[float, load.Request]]:
    """Each request with its hour: more of them at noon than in the evening."""
    hours = [OPENS + (CLOSES - OPENS) * (number + 0.5) / site.requests for number in range(site.requests)]
    middle, half = (OPENS + CLOSES) / 2, (CLOSES - OPENS) / 2
    # Drawn towards the middle of the day.
    hours = [
        middle + half * math.copysign(abs((hour - middle) / half) ** 1.3, hour - middle) for hour in hours
    ]
    reports = [next(n for n, hour in enumerate(hours) if hour >= report) for report in REPORTS]
    return zip(hours, load.requests(site.courses, site.requests, reports), strict=True)


def _sample(
    day: Day,
    began: float,
    hour_seconds: float,
    pid: int,
    log: int,
    indexer: int | None,
    ended: threading.Event,
) -> None:
    read = 0
    while not ended.wait(hour_seconds / SAMPLES_AN_HOUR):
        hour = (time.monotonic() - began) / hour_seconds
        day.hours.append(hour)
        day.web.append(weigh_tree(pid).pss / 1024)
        day.indexer.append(weigh_tree(indexer).pss / 1024 if indexer else 0.0)
        told = os.pread(log, os.fstat(log).st_size - read, read)
        read += len(told)
        for kind, pattern in EVENTS.items():
            day.events += [(hour, kind)] * len(re.findall(pattern, told))


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else math.nan
