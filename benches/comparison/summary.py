"""Medians, spread, and the ratios to each peer."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from comparison.rounds import Row
from comparison.servers import FLOOR, OURS

CLIENT_BOUND_SHARE = 0.95
"""Above this share of its CPU time, wrk and not the server was the limit."""

PLACEMENTS = ("pinned", "free")

MORE_IS_BETTER = frozenset(f"{placement}_requests_per_second" for placement in PLACEMENTS)

COMPARED = (
    "pinned_requests_per_second",
    "pinned_p99_us",
    "pinned_cpu_us_per_request",
    "free_requests_per_second",
    "free_p99_us",
    "free_cpu_us_per_request",
    "idle_pss_mib",
    "idle_dirty_mib",
    "loaded_pss_mib",
    "rested_pss_mib",
    "rested_dirty_mib",
    "idle_connection_kib",
    "idle_websocket_kib",
    "ready_ms",
)
"""The figures that a ratio is given for."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One server with one workload, over all rounds."""

    workload: str
    server: str
    family: str
    note: str
    """Notes on the configuration for the reader."""
    figures: dict[str, Spread]
    disqualified: str | None
    """Why its figures do not count; None when they do."""
    remarks: tuple[str, ...]

    @property
    def client_bound(self) -> frozenset[str]:
        """Placements in which wrk was the limit: the server could do more."""
        shares = {placement: self.figures.get(f"{placement}_client_cpu_share") for placement in PLACEMENTS}
        return frozenset(
            placement for placement, share in shares.items() if share and share.median > CLIENT_BOUND_SHARE
        )


@dataclass(frozen=True, slots=True)
class Ratio:
    """Our figure over that of a peer's best configuration."""

    workload: str
    figure: str
    peer: str
    """The configuration that was best."""
    value: float


def summarise(rows: list[Row]) -> list[Line]:
    """Return one line for each row."""
    return [
        _line(row, [x for x in rows if x.workload == row.workload and x.server.family == FLOOR])
        for row in rows
    ]


def ratios(lines: list[Line]) -> list[Ratio]:
    """Compare our default configuration with the best of each other family."""
    found = []
    for ours in (line for line in lines if line.server == OURS and not line.disqualified):
        others = [
            line
            for line in lines
            if line.workload == ours.workload and line.family not in (OURS, FLOOR) and not line.disqualified
        ]
        for figure in (figure for figure in COMPARED if figure in ours.figures):
            for family in dict.fromkeys(line.family for line in others):
                peers = [x for x in others if x.family == family and figure in x.figures]
                if peers:
                    found.append(_ratio(ours, peers, figure))
    return found


def _ratio(ours: Line, peers: list[Line], figure: str) -> Ratio:
    pick = max if figure in MORE_IS_BETTER else min
    best = pick(peers, key=lambda line: line.figures[figure].median)
    peer_median = best.figures[figure].median
    value = ours.figures[figure].median / peer_median if peer_median > 0 else float("nan")
    return Ratio(ours.workload, figure, best.server, value)


def _line(row: Row, floors: list[Row]) -> Line:
    names = dict.fromkeys(name for sample in row.samples for name in sample.figures)
    figures = {
        name: _spread([sample.figures[name] for sample in row.samples if name in sample.figures])
        for name in names
    }
    for placement in PLACEMENTS:
        if shares := _shares(row, floors, f"{placement}_requests_per_second"):
            figures[f"{placement}_share_of_floor"] = _spread(shares)
    return Line(
        workload=row.workload.name,
        server=row.server.name,
        family=row.server.family,
        note=row.server.note,
        figures=figures,
        disqualified=row.failure or _told_errors(row),
        remarks=tuple(dict.fromkeys(text for sample in row.samples for text in sample.remarks)),
    )


def _shares(row: Row, floors: list[Row], rate: str) -> list[float]:
    """Return the row's rate in each round over that of the fastest floor in the same round."""
    shares = []
    for number, sample in enumerate(row.samples):
        beside = [floor.samples[number] for floor in floors if number < len(floor.samples)]
        fastest = max((floor.figures.get(rate, 0.0) for floor in beside if not floor.errors), default=0.0)
        if fastest and rate in sample.figures:
            shares.append(sample.figures[rate] / fastest)
    return shares


def _spread(values: list[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def _told_errors(row: Row) -> str | None:
    totals: dict[str, int] = {}
    for sample in row.samples:
        for kind, count in sample.errors.items():
            totals[kind] = totals.get(kind, 0) + count
    return ", ".join(f"{kind} ({count})" for kind, count in totals.items()) or None
