"""The comparison as Markdown, which is also what the terminal shows."""

from __future__ import annotations

from collections.abc import Callable

from comparison.document import Comparison
from comparison.environment import without_folder
from comparison.servers import FLOOR
from comparison.summary import COMPARED, MORE_IS_BETTER, Line, Ratio, Spread
from comparison.tables import Column, aligned, table
from comparison.workloads import WORKLOADS

PACKAGES = (
    *("python", "uvicorn", "uvloop", "httptools", "granian", "rloop", "hypercorn"),
    *("gunicorn", "gunicorn-h1c", "gunicorn_h1c", "fastpysgi", "node"),
    *("quart", "fastapi", "starlette", "django", "flask", "wrk"),
)
"""The installed packages that the header names."""


def markdown(comparison: Comparison) -> str:
    """Return the whole report."""
    parts = ["# Comparison", _header(comparison)]
    about = {workload.name: f": {workload.about}" for workload in WORKLOADS}
    for workload in dict.fromkeys(line.workload for line in comparison.lines):
        lines = [line for line in comparison.lines if line.workload == workload]
        parts.append(f"## {workload}{about.get(workload, '')}")
        parts += _tables(lines)
        if ratios := [ratio for ratio in comparison.ratios if ratio.workload == workload]:
            parts.append("lowmem-serve over the best configuration of each peer:")
            parts.append(_ratio_table(ratios))
    return "\n\n".join(parts) + "\n"


def _tables(lines: list[Line]) -> list[str]:
    """Return the tables of one workload, and the notes to their rows."""
    of_servers = [line for line in lines if line.family != FLOOR]
    parts = [table(_columns_of(WEIGHT, of_servers), of_servers)] if of_servers else []
    parts.append(table(_columns_of(RATE, lines), lines))
    if any(line.client_bound for line in lines):
        parts.append("`≥`: wrk used all of its CPU time; the server could do more.")
    told = [
        f"- {line.server} is no server, and in no ratio: {line.note}"
        for line in lines
        if line.family == FLOOR
    ]
    told += [f"- {line.server} is disqualified: {line.disqualified}" for line in lines if line.disqualified]
    told += [f"- {line.server}: {remark}" for line in lines for remark in line.remarks]
    # A server's log may span lines; indented, it stays in its list item.
    return [*parts, without_folder("\n".join(item.replace("\n", "\n  ") for item in told))] if told else parts


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


def _name(line: Line) -> str:
    marks = [
        mark for mark, holds in (("void", line.disqualified), ("no server", line.family == FLOOR)) if holds
    ]
    return f"{line.server} ({', '.join(marks)})" if marks else line.server


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
    Column("of the floor", _figure("pinned_share_of_floor", ".0%")),
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
