"""The goals of lowmem-serve, with their reasons."""

from __future__ import annotations

from collections.abc import Iterator

from recycling.scenarios import MAX_RSS_MIB, Drive, Scenario, Style
from recycling.tally import Tally
from recycling.trial import Trial
from recycling.wire import Failure

MAX_FAILED = 0
"""Failed, reset or 5xx, of every kind: one would be noticed."""

EXCHANGES_PER_SECOND = 100_000 / 60
"""Below it a run is no proof. Asked for from FULL_SECONDS on; a loaded machine may not reach it in a
short run, and a scenario that pauses on purpose is not asked."""

FULL_SECONDS = 60.0

MAX_STALL_SECONDS = 0.1
"""People take what is below for immediate. With an overlap nothing waits for a start, so this is
scheduling alone. What the load generator itself was late is added, and what the server's processes waited
for a CPU that the machine gave to others."""

MAX_PAUSE_SECONDS = 0.1
"""Beyond the time that a start takes, for requests that have to wait for one."""

MAX_OPEN_SECONDS = 2.5
"""The same where something without an end is open: it has 2 s to end, and half a second to clean up."""

RESTART = 1012
"""The close code "service restart": clients know that they may come back at once."""

CRASHES = {Failure.UNANSWERED, Failure.CUT, Failure.CLOSED_IDLE}
"""A killed worker loses what it held. No other client may notice: none is refused, late or wrong."""

SEQUENTIAL_PEAK = 1.1
"""Heaviest over usual private dirty memory of the tree: two workers at once would make it nearly 2.
Not PSS: a worker that starts, the first one too, has more of libpython's file mapped for as long as it
takes, in pages that the kernel may drop."""

LEAKING_PEAK_KIB = 3 * MAX_RSS_MIB * 1024
"""A worker at its limit, its successor, and a predecessor that still drains."""

SUPERVISOR_GROWTH_KIB = 128
"""Pages that the supervisor may have written for the first time. A leak of a few KiB for each swap
shows in the endurance run."""

EXPECTED_SWAPS = 0.5
"""Of those for which there was time: a start takes time too, and a TTL has jitter."""


def missed(trial: Trial) -> list[str]:
    """Return the goals that the trial missed, with what was seen instead; empty: none."""
    return list(_missed(trial))


def missed_by_clients(tally: Tally, style: Style, start_seconds: float) -> Iterator[str]:
    """Yield what the clients noticed and should not have; `start_seconds` is what a start takes."""
    tolerated = tally.failures_of(*CRASHES) if style is Style.CRASH else 0
    if tally.failures - tolerated > MAX_FAILED:
        yield f"failed: {tally.what_failed()}"
    if style is Style.CRASH:
        pause = start_seconds + MAX_PAUSE_SECONDS + tally.excused(tally.longest_silence)
        if tally.longest_silence > pause:
            yield f"no client served for {tally.longest_silence:.3f} s, at most {pause:.3f} s"
        return
    stall, kind = tally.worst
    limit = MAX_STALL_SECONDS + tally.excused(stall)
    if style is Style.SEQUENTIAL:
        limit = start_seconds + MAX_PAUSE_SECONDS + tally.excused(stall)
    if style is Style.SEQUENTIAL_OPEN:
        limit = start_seconds + MAX_OPEN_SECONDS + tally.excused(stall)
    if stall > limit:
        yield f"stall of {stall:.3f} s ({kind}), at most {limit:.3f} s"
    if others := {code: n for code, n in tally.websocket_ends.items() if code != str(RESTART)}:
        yield f"WebSockets ended with {others}, not with {RESTART}"


def _missed(trial: Trial) -> Iterator[str]:
    scenario = trial.scenario
    if trial.exit_code is not None:
        yield f"the server ended with exit code {trial.exit_code}"
    yield from missed_by_clients(trial.tally, scenario.style, trial.start_seconds)
    if scenario.style is Style.OVERLAP and trial.seconds >= FULL_SECONDS and _is_whole(scenario):
        wanted = EXCHANGES_PER_SECOND * trial.seconds
        if trial.tally.exchanges < wanted:
            yield f"{trial.tally.exchanges} exchanges, at least {wanted:.0f}"
    if trial.swaps < (swaps := _least_swaps(trial)):
        yield f"{trial.swaps} swaps, at least {swaps}"
    yield from _missed_by_processes(trial)


def _missed_by_processes(trial: Trial) -> Iterator[str]:
    if trial.not_shut_down:
        yield f"no lifespan shutdown in {len(trial.not_shut_down)} of {len(trial.tally.workers)} workers"
    if trial.scenario.style in (Style.SEQUENTIAL, Style.SEQUENTIAL_OPEN):
        peak = trial.memory.peak_dirty_kib / max(1, trial.memory.usual_dirty_kib)
        if peak > SEQUENTIAL_PEAK:
            yield f"peak private dirty memory {peak:.2f}×, at most {SEQUENTIAL_PEAK}×"
    if trial.scenario.mix.leak_kib_per_second and trial.memory.peak_pss_kib > LEAKING_PEAK_KIB:
        yield f"peak memory {trial.memory.peak_pss_kib} KiB, at most {LEAKING_PEAK_KIB} KiB"
    if (after := trial.after) is None:
        return
    if (growth := after.private_dirty_kib - trial.before.private_dirty_kib) > SUPERVISOR_GROWTH_KIB:
        yield f"the supervisor grew by {growth} KiB, at most {SUPERVISOR_GROWTH_KIB} KiB"
    if after.descriptors > trial.before.descriptors:
        yield f"the supervisor's descriptors: {trial.before.descriptors}, then {after.descriptors}"
    if after.zombies:
        yield f"{after.zombies} zombies"


def _least_swaps(trial: Trial) -> int:
    scenario = trial.scenario
    if scenario.drive is Drive.FAULTS:
        return 1
    cycle = scenario.period + scenario.import_seconds
    return max(1, int(EXPECTED_SWAPS * trial.seconds / cycle))


def _is_whole(scenario: Scenario) -> bool:
    """Whether the load has every kind of exchange."""
    return bool(scenario.mix.streams)
