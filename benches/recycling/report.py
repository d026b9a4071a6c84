"""The trials as Markdown and as JSON."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass

from comparison.environment import without_folder
from comparison.machine import Machine
from comparison.tables import Column, table
from recycling.goals import missed
from recycling.scenarios import OURS, Scenario
from recycling.tally import Count, Kind
from recycling.trial import Trial
from recycling.wire import Failure

KEPT = (Kind.KEEP_ALIVE, Kind.IDLE, Kind.FRESH)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A trial that could not be made."""

    server: str
    scenario: Scenario
    reason: str


Outcome = Trial | Skipped


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found out."""

    begun: str
    """UTC, ISO 8601."""
    machine: Machine
    versions: dict[str, str]
    outcomes: list[Outcome]


COLUMNS = (
    Column("server", lambda trial: trial.server),
    Column("trigger", lambda trial: trial.scenario.trigger(trial.server)),
    Column("swaps", lambda trial: str(trial.swaps)),
    Column("exchanges", lambda trial: f"{trial.tally.exchanges:,}"),
    Column("failed", lambda trial: str(trial.tally.failures)),
    Column("closed while idle", lambda trial: str(_closed_idle(trial))),
    Column("longest stall", lambda trial: _seconds(trial.tally.worst[0])),
    Column("WebSockets end with", lambda trial: _ends(trial.tally.websocket_ends, trial)),
    Column("event streams end", lambda trial: _ends(trial.tally.event_ends)),
    Column("PSS before, peak MB", lambda trial: _memory(trial)),
    Column("zombies", lambda trial: "–" if trial.after is None else str(trial.after.zombies)),
)

SUMMARY = (
    Column("scenario", lambda trial: trial.scenario.name),
    *(column for column in COLUMNS if column.title not in ("event streams end", "zombies")),
)
"""The summary, as one table."""


def line(outcome: Outcome) -> str:
    """Return one outcome in one line, for the terminal."""
    name = f"{outcome.scenario.name} {outcome.server}"
    if isinstance(outcome, Skipped):
        return f"{name}: not run: {outcome.reason}"
    tally = outcome.tally
    stall, kind = tally.worst
    return (
        f"{name}: {outcome.swaps} swaps, {tally.exchanges} exchanges, {tally.failures} failed, "
        f"longest stall {_seconds(stall)} ({kind}), no client served for {_seconds(tally.longest_silence)}, "
        f"load generator late {_seconds(tally.own_lag)}, PSS {_memory(outcome)} MB"
    )


def markdown(report: Report) -> str:
    """Return the whole report."""
    packages = ("lowmem-serve", "granian", "gunicorn", "uvicorn", "uvloop", "python")
    versions = ", ".join(f"{name} {report.versions[name]}" for name in packages if name in report.versions)
    machine = report.machine
    parts = [
        "# Recycling under load",
        f"{report.begun}; {machine.cpu}, {machine.cores} cores, Linux {machine.kernel}; {versions}.",
    ]
    if trials := [outcome for outcome in report.outcomes if isinstance(outcome, Trial)]:
        parts.append(table(SUMMARY, trials))
    for scenario in dict.fromkeys(outcome.scenario.name for outcome in report.outcomes):
        parts += _section([each for each in report.outcomes if each.scenario.name == scenario])
    return "\n\n".join(parts) + "\n"


def as_json(report: Report) -> str:
    """Return every count, every weighing and the failures that were kept."""
    document = {
        "begun": report.begun,
        "machine": asdict(report.machine),
        "versions": report.versions,
        "trials": [_document(each) for each in report.outcomes if isinstance(each, Trial)],
        "skipped": [
            {"server": each.server, "scenario": each.scenario.name, "reason": each.reason}
            for each in report.outcomes
            if isinstance(each, Skipped)
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _section(outcomes: list[Outcome]) -> list[str]:
    trials = [outcome for outcome in outcomes if isinstance(outcome, Trial)]
    parts = [f"## {outcomes[0].scenario.name}: {outcomes[0].scenario.about}"]
    if trials:
        parts.append(table(COLUMNS, trials))
    notes = [f"- {each.server} took no part: {each.reason}" for each in outcomes if isinstance(each, Skipped)]
    for trial in trials:
        notes += [f"- {trial.server}: {note}" for note in _notes(trial)]
    return [*parts, "\n".join(notes)] if notes else parts


def _notes(trial: Trial) -> list[str]:
    tally = trial.tally
    notes = list(tally.skipped)
    if trial.exit_code is not None:
        notes.append(f"the whole server ended with exit code {trial.exit_code}")
    if tally.failures:
        notes.append("; ".join(f"{what} {times}" for what, times in tally.what_failed().items()))
    if trial.workers > trial.scenario.workers:
        notes.append(f"{trial.workers} workers")
    if trial.server == OURS:
        notes += [f"**goal missed:** {goal}" for goal in missed(trial)]
        weighed = trial.memory
        notes.append(
            f"private dirty memory of the tree: {weighed.usual_dirty_kib} KiB half of the time, "
            f"{weighed.peak_dirty_kib} KiB at the most"
        )
        if after := trial.after:
            before = trial.before
            notes.append(
                f"supervisor: {before.pss_kib} KiB PSS and {before.descriptors} descriptors before, "
                f"{after.pss_kib} KiB and {after.descriptors} after"
            )
    return notes


def _document(trial: Trial) -> dict:
    tally = trial.tally
    stall, kind = tally.worst
    return {
        "server": trial.server,
        "scenario": trial.scenario.name,
        "trigger": trial.scenario.trigger(trial.server),
        "command": without_folder(shlex.join(trial.command)),
        "workers": trial.workers,
        "seconds": trial.seconds,
        "start_seconds": round(trial.start_seconds, 3),
        "swaps": trial.swaps,
        "exchanges": tally.exchanges,
        "failures": tally.what_failed(),
        "closed_while_idle": _closed_idle(trial),
        "longest_stall": {"seconds": round(stall, 4), "kind": kind},
        "longest_silence_seconds": round(tally.longest_silence, 4),
        "load_generator_late_seconds": round(tally.own_lag, 4),
        "excused_of_the_longest_stall_seconds": round(tally.excused(stall), 4),
        "kinds": {kind: _count(count) for kind, count in tally.kinds.items()},
        "websocket_ends": tally.websocket_ends,
        "event_ends": tally.event_ends,
        "events": tally.events,
        "moved": tally.moved,
        "sent_again": tally.sent_again,
        "skipped": tally.skipped,
        "workers_first_answer": {pid: round(at, 3) for pid, at in tally.workers.items()},
        "not_shut_down": trial.not_shut_down,
        "exit_code": trial.exit_code,
        "pss_before_kib": trial.pss_before_kib,
        "pss_usual_kib": trial.memory.usual_pss_kib,
        "pss_peak_kib": trial.memory.peak_pss_kib,
        "private_dirty_usual_kib": trial.memory.usual_dirty_kib,
        "private_dirty_peak_kib": trial.memory.peak_dirty_kib,
        "supervisor_before": asdict(trial.before),
        "supervisor_after": None if trial.after is None else asdict(trial.after),
        "goals_missed": missed(trial) if trial.server == OURS else None,
        "failed_examples": [asdict(example) for example in tally.examples],
        "memory": trial.memory.as_rows(),
        "log_tail": without_folder(trial.log_tail),
    }


def _count(count: Count) -> dict:
    return {
        "answered": count.answered,
        "failed": dict(count.failed),
        "longest_stall_seconds": round(count.longest_stall, 4),
        "long_stalls": count.long_stalls,
    }


def _closed_idle(trial: Trial) -> int:
    return sum(trial.tally.kinds[kind].failed[Failure.CLOSED_IDLE] for kind in KEPT)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _ends(ends: dict[str, int], trial: Trial | None = None) -> str:
    if trial and trial.tally.skipped:
        return "not tried"
    return ", ".join(f"{end} {times}" for end, times in ends.items()) or "–"


def _memory(trial: Trial) -> str:
    before, peak = trial.pss_before_kib, trial.memory.peak_pss_kib
    return f"{before / 1024:.0f}, {peak / 1024:.0f} ({peak / max(1, before):.1f}×)"
