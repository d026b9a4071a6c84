"""Memory against rate as an SVG, one panel for each workload. Up and to the left is better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from xml.sax.saxutils import escape

from comparison.labels import Box, Label, Point, place
from comparison.servers import FLOOR, OURS
from comparison.summary import Line
from comparison.workloads import WORKLOADS

PICTURED = ("hello", "quart", "fastapi", "django")
"""What tells the story. The other workloads are in the tables, and in a picture only where none of these was run."""

MOST_PANELS, COLUMNS = 4, 2

WIDTH, HEIGHT, HEAD = 440, 320, 58
"""Pixels of one panel, its axes and labels included, and of what is above the panels."""

LEFT, RIGHT, TOP, BOTTOM = 58, 22, 68, 46
"""Pixels between a panel's edges and its plotting area."""

GRID_LINES = 4
GRID_COLOUR = "#e2e8f0"
CARD_COLOUR, EDGE_COLOUR = "#ffffff", "#cbd5e1"
"""The picture has a ground of its own, so that it can be read on a page of any colour."""

PLOT = Box(LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
NAMES = Box(LEFT, TOP - 10, WIDTH - 4, HEIGHT - BOTTOM + 4)
"""Where the names of dots may be."""
RATE, OTHERWISE = "pinned_requests_per_second", "free_requests_per_second"
"""On a machine of one core there is only the second."""
MEMORY = "idle_pss_mib"


@dataclass(frozen=True, slots=True)
class Font:
    """How a text is drawn."""

    size: float
    """Pixels."""
    colour: str
    bold: bool = False


TITLE, PANEL_TITLE = Font(17, "#0f172a", bold=True), Font(14, "#0f172a", bold=True)
SUBTITLE, QUIET = Font(12, "#64748b"), Font(11, "#64748b")
OURS_FONT, PEER_FONT = Font(12, "#c2410c", bold=True), Font(11, "#475569")


@dataclass(frozen=True, slots=True)
class Dot:
    """One server in one panel."""

    name: str
    is_ours: bool
    memory: float
    """MiB."""
    rate: float
    """Requests per second."""


def memory_against_rate(lines: list[Line]) -> str:
    """Return the picture: x is idle PSS (MiB), y is requests per second, pinned if measured.

    Each family of servers is one dot in a panel: that configuration of it which answered the most.
    """
    panels = _panels([line for line in lines if MEMORY in line.figures and not line.disqualified])
    columns = max(1, min(COLUMNS, len(panels)))
    width, height = columns * WIDTH, HEAD + math.ceil(len(panels) / columns) * HEIGHT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="sans-serif">'
        ),
        (
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" '
            f'fill="{CARD_COLOUR}" stroke="{EDGE_COLOUR}"/>'
        ),
        _text(LEFT, 30, "Memory against rate", TITLE),
        _text(LEFT, 48, "one worker each; up and to the left is better", SUBTITLE),
    ]
    for number, (workload, dots) in enumerate(panels.items()):
        x, y = number % columns * WIDTH, HEAD + number // columns * HEIGHT
        parts += [f'<g transform="translate({x},{y})">', *_panel(workload, dots), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panels(lines: list[Line]) -> dict[str, list[Dot]]:
    """Return the dots of each workload that is pictured, ours first."""
    measured = list(dict.fromkeys(line.workload for line in lines))
    pictured = [name for name in PICTURED if name in measured] or measured[:MOST_PANELS]
    panels = {}
    for workload in pictured:
        best: dict[str, Line] = {}
        for line in lines:
            if line.workload == workload and line.family != FLOOR:
                known = best.get(line.family)
                best[line.family] = line if known is None or _rate(line) > _rate(known) else known
        dots = [
            Dot(line.server, family == OURS, line.figures[MEMORY].median, _rate(line))
            for family, line in best.items()
        ]
        if dots:
            panels[workload] = sorted(dots, key=lambda dot: (not dot.is_ours, -dot.rate))
    return panels


def _rate(line: Line) -> float:
    return (line.figures.get(RATE) or line.figures[OTHERWISE]).median


def _panel(workload: str, dots: list[Dot]) -> list[str]:
    memory_top = _round_up(max(dot.memory for dot in dots))
    rate_top = _round_up(max(dot.rate for dot in dots))
    about = {known.name: known.about for known in WORKLOADS}
    parts = [
        _text(LEFT, 20, workload, PANEL_TITLE),
        _text(LEFT, 36, about.get(workload, ""), QUIET),
        _text(8, TOP - 12, "requests/s", QUIET),
        _text(PLOT.right, HEIGHT - 12, "idle PSS of the process tree, MiB", QUIET, "end"),
    ]
    for step in range(GRID_LINES + 1):
        share = step / GRID_LINES
        x = PLOT.left + share * (PLOT.right - PLOT.left)
        y = PLOT.bottom - share * (PLOT.bottom - PLOT.top)
        parts.append(_line(PLOT.left, y, PLOT.right, y, GRID_COLOUR))
        parts.append(_line(x, PLOT.top, x, PLOT.bottom, GRID_COLOUR))
        parts.append(_text(x, PLOT.bottom + 15, f"{memory_top * share:g}", QUIET, "middle"))
        parts.append(_text(PLOT.left - 6, y + 4, _thousands(rate_top * share), QUIET, "end"))
    points = [_point(dot, memory_top, rate_top) for dot in dots]
    for dot, point, label in zip(dots, points, place(points, NAMES), strict=True):
        parts += _named_dot(dot, point, label)
    return parts


def _point(dot: Dot, memory_top: float, rate_top: float) -> Point:
    return Point(
        x=PLOT.left + dot.memory / memory_top * (PLOT.right - PLOT.left),
        y=PLOT.bottom - dot.rate / rate_top * (PLOT.bottom - PLOT.top),
        radius=7 if dot.is_ours else 4,
        name=f"{dot.name}: {dot.memory:.0f} MiB, {_thousands(dot.rate)}/s" if dot.is_ours else dot.name,
        size=_font(dot).size,
        bold=_font(dot).bold,
    )


def _named_dot(dot: Dot, point: Point, label: Label) -> list[str]:
    font = _font(dot)
    parts = []
    if label.apart:
        end = min(max(point.x, label.box.left), label.box.right)
        height = (
            label.box.bottom
            if label.box.bottom < point.y
            else max(label.box.top, min(point.y, label.box.bottom))
        )
        parts.append(_line(point.x, point.y, end, height, font.colour))
    parts.append(f'<circle cx="{point.x:.1f}" cy="{point.y:.1f}" r="{point.radius}" fill="{font.colour}"/>')
    parts.append(_text(label.x, label.y, point.name, font, label.anchor))
    return parts


def _font(dot: Dot) -> Font:
    return OURS_FONT if dot.is_ours else PEER_FONT


def _text(x: float, y: float, text: str, font: Font, anchor: str = "start") -> str:
    weight = "bold" if font.bold else "normal"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{font.size:g}" '
        f'font-weight="{weight}" fill="{font.colour}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _round_up(value: float) -> float:
    """Return the next 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _thousands(value: float) -> str:
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:.3g}k"
