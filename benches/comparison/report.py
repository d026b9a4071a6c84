"""The comparison as Markdown (which is also what the terminal shows) and as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass

from comparison.environment import without_folder
from comparison.machine import Machine
from comparison.rounds import Row
from comparison.sample import Settings
from comparison.summary import COMPARED, MORE_IS_BETTER, Line, Ratio, Spread
from comparison.tables import Column, aligned, table

PACKAGES = (
    *("python", "uvicorn", "uvloop", "httptools", "granian", "rloop", "hypercorn"),
    *(
        "gunicorn",
        "gunicorn-h1c",
        "gunicorn_h1c",
        "fastpysgi",
        "node",
        "quart",
        "fastapi",
        "starlette",
        "django",
        "wrk",
    ),
)
"""What the header names, of all that is installed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was found out."""

    begun: str
    """UTC, ISO 8601."""
    machine: Machine
    versions: dict[str, str]
    settings: Settings
    rounds: int
    rows: list[Row]
    lines: list[Line]
    ratios: list[Ratio]
    skipped: dict[str, str]
    """Servers that were asked for but cannot run here, and why."""
    notes: list[str]


def markdown(comparison: Comparison) -> str:
    """Return the whole report."""
    parts = ["# Comparison", _header(comparison)]
    for workload in dict.fromkeys(row.workload.name for row in comparison.rows):
        lines = [line for line in comparison.lines if line.workload == workload]
        about = next(r.workload.about for r in comparison.rows if r.workload.name == workload)
        parts.append(f"## {workload}: {about}")
        parts.append(table(_columns_of(WEIGHT, lines), lines))
        parts.append(table(_columns_of(RATE, lines), lines))
        if any(line.client_bound for line in lines):
            parts.append("`≥`: wrk used all of its CPU time; the server could do more.")
        parts += _disqualified(lines)
        if ratios := [ratio for ratio in comparison.ratios if ratio.workload == workload]:
            parts.append("lowmem-serve over the best configuration of each peer:")
            parts.append(_ratio_table(ratios))
    return "\n\n".join(parts) + "\n"


def as_json(comparison: Comparison) -> str:
    """Return the figures of every round, and the machine and versions they belong to."""
    document = {
        "begun": comparison.begun,
        "machine": asdict(comparison.machine),
        "versions": comparison.versions,
        "settings": {**asdict(comparison.settings), "rounds": comparison.rounds},
        "skipped": comparison.skipped,
        "notes": comparison.notes,
        "rows": [
            {
                "workload": row.workload.name,
                "server": row.server.name,
                "family": row.server.family,
                "command": without_folder(shlex.join(row.server.serve(row.workload, 8000))),
                "disqualified": line.disqualified and without_folder(line.disqualified),
                "summary": {name: asdict(spread) for name, spread in line.figures.items()},
                "samples": [asdict(sample) for sample in row.samples],
            }
            for row, line in zip(comparison.rows, comparison.lines, strict=True)
        ],
        "ratios": [asdict(ratio) for ratio in comparison.ratios],
    }
    return without_folder(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def _header(comparison: Comparison) -> str:
    machine, settings = comparison.machine, comparison.settings
    versions = [f"{name} {comparison.versions[name]}" for name in PACKAGES if name in comparison.versions]
    if ours := comparison.versions.get("lowmem-serve"):
        versions.insert(0, ours)
    facts = [
        (
            f"- {comparison.begun}; {machine.cpu}, {machine.cores} cores, "
            f"{machine.memory_mib / 1024:.0f} GiB, Linux {machine.kernel}, {machine.distribution}"
        ),
        f"- {', '.join(versions)}",
        (
            f"- medians of {comparison.rounds} interleaved rounds (lowest–highest in brackets); "
            f"{settings.load_seconds:g} s of load for each placement"
        ),
        (
            "- pinned: server on one core, wrk on another; free: both on all cores, "
            f"{settings.free_threads} wrk threads"
        ),
    ]
    facts += [f"- {name} skipped: {why}" for name, why in comparison.skipped.items()]
    facts += [f"- {note}" for note in comparison.notes]
    return without_folder("\n".join(facts))


def _disqualified(lines: list[Line]) -> list[str]:
    told = [f"- {line.server} is disqualified: {line.disqualified}" for line in lines if line.disqualified]
    told += [f"- {line.server}: {remark}" for line in lines for remark in line.remarks]
    # A server's log may span lines; indented, it stays in its list item.
    return [without_folder("\n".join(item.replace("\n", "\n  ") for item in told))] if told else []


def _name(line: Line) -> str:
    return f"{line.server} (void)" if line.disqualified else line.server


def _figure(name: str, form: str, spread: bool = False) -> Callable[[Line], str]:
    def cell(line: Line) -> str:
        found = line.figures.get(name)
        if found is None:
            return "–"
        text = format(found.median, form)
        bound = name in MORE_IS_BETTER and name.partition("_")[0] in line.client_bound
        return ("≥ " if bound else "") + text + (_range(found, form) if spread else "")

    return cell


def _range(spread: Spread, form: str) -> str:
    if spread.low == spread.high:
        return ""
    return f" ({spread.low:{form}}–{spread.high:{form}})"


def _weight(moment: str) -> Callable[[Line], str]:
    names = (f"{moment}_{kind}_mib" for kind in ("pss", "dirty", "private_dirty"))
    cells = [_figure(name, ".1f") for name in names]

    def cell(line: Line) -> str:
        texts = [one(line) for one in cells]
        return "–" if "–" in texts else " / ".join(texts)

    return cell


def _columns_of(columns: list[Column[Line]], lines: list[Line]) -> list[Column[Line]]:
    """Leave out the columns that have no figure for any line."""
    return [column for column in columns if any(column.cell(line) != "–" for line in lines)]


WEIGHT = [
    Column("PSS / dirty / private dirty, MiB", _name),
    Column("idle", _weight("idle")),
    Column("after load", _weight("loaded")),
    Column("after rest", _weight("rested")),
    Column("KiB per idle connection", _figure("idle_connection_kib", ".2f")),
    Column("KiB per idle WebSocket", _figure("idle_websocket_kib", ".2f")),
    Column("ready, ms", _figure("ready_ms", ".0f", spread=True)),
]

RATE = [
    Column("requests per second", _name),
    Column("pinned", _figure("pinned_requests_per_second", ".0f", spread=True)),
    Column("p50, µs", _figure("pinned_p50_us", ".0f")),
    Column("p99, µs", _figure("pinned_p99_us", ".0f")),
    Column("CPU µs", _figure("pinned_cpu_us_per_request", ".1f")),
    Column("free", _figure("free_requests_per_second", ".0f", spread=True)),
    Column("p50, µs", _figure("free_p50_us", ".0f")),
    Column("p99, µs", _figure("free_p99_us", ".0f")),
    Column("CPU µs", _figure("free_cpu_us_per_request", ".1f")),
]


def _ratio_table(ratios: list[Ratio]) -> str:
    families = list(dict.fromkeys(_family(ratio) for ratio in ratios))
    cells = []
    for figure in COMPARED:
        of_figure = {_family(ratio): ratio for ratio in ratios if ratio.figure == figure}
        if of_figure:
            values = (of_figure.get(family) for family in families)
            cells.append([figure, *(f"{r.value:.2f}×" if r else "–" for r in values)])
    return aligned(["figure", *families], cells)


def _family(ratio: Ratio) -> str:
    return ratio.peer.partition("-")[0]
