"""Memory against rate as an SVG, one panel for each workload. Up and to the left is better."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from comparison.servers import OURS
from comparison.summary import Line

PANEL_WIDTH, PANEL_HEIGHT = 420, 340
"""Pixels of one panel, its axes and labels included."""

LEFT, RIGHT, TOP, BOTTOM = 56, 24, 40, 46
"""Pixels between a panel's edges and its plotting area."""

GRID_LINES = 4
OUR_COLOUR, PEER_COLOUR, GRID_COLOUR, TEXT_COLOUR = "#c2410c", "#475569", "#e2e8f0", "#0f172a"
LABEL_WIDTH, LABEL_HEIGHT = 110, 13
"""Pixels that two labels must lie apart, in one direction or the other."""


def memory_against_rate(lines: list[Line]) -> str:
    """Return the picture: x is idle PSS (MiB), y is requests per second, pinned if measured."""
    counted = [line for line in lines if not line.disqualified and "idle_pss_mib" in line.figures]
    names = list(dict.fromkeys(line.workload for line in counted))
    panels = [
        _panel(name, [line for line in counted if line.workload == name], index * PANEL_WIDTH)
        for index, name in enumerate(names)
    ]
    width = max(1, len(names)) * PANEL_WIDTH
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {PANEL_HEIGHT}" '
        f'width="{width}" height="{PANEL_HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *panels, "</svg>", ""])


def _rate(line: Line) -> float:
    pinned = line.figures.get("pinned_requests_per_second")
    return (pinned or line.figures["free_requests_per_second"]).median


def _panel(name: str, lines: list[Line], offset: int) -> str:
    memory_top = _round_up(max(line.figures["idle_pss_mib"].median for line in lines))
    rate_top = _round_up(max(map(_rate, lines)))
    right, bottom = PANEL_WIDTH - RIGHT, PANEL_HEIGHT - BOTTOM
    parts = [
        f'<g transform="translate({offset},0)">',
        _text(PANEL_WIDTH / 2, 20, name, "middle", size=14),
        _text((LEFT + right) / 2, PANEL_HEIGHT - 10, "idle PSS of the process tree, MiB", "middle"),
        _text(8, TOP - 10, "requests/s"),
    ]
    for step in range(GRID_LINES + 1):
        share = step / GRID_LINES
        x, y = LEFT + share * (right - LEFT), bottom - share * (bottom - TOP)
        parts.append(_rule(LEFT, y, right, y))
        parts.append(_rule(x, TOP, x, bottom))
        parts.append(_text(x, bottom + 16, f"{memory_top * share:g}", "middle"))
        parts.append(_text(LEFT - 6, y + 4, _thousands(rate_top * share), "end"))
    labels: list[tuple[float, float]] = []
    for line in sorted(lines, key=_rate, reverse=True):
        x = LEFT + line.figures["idle_pss_mib"].median / memory_top * (right - LEFT)
        y = bottom - _rate(line) / rate_top * (bottom - TOP)
        parts.append(_point(line, x, y, labels))
    return "\n".join([*parts, "</g>"])


def _point(line: Line, x: float, y: float, labels: list[tuple[float, float]]) -> str:
    """Draw a dot and its name, the name moved down until it covers no other."""
    ours = line.family == OURS
    colour, radius = (OUR_COLOUR, 6) if ours else (PEER_COLOUR, 4)
    at_left = x > PANEL_WIDTH / 2
    label_x, label_y = (x - 9 if at_left else x + 9), y + 4
    while any(abs(label_y - b) < LABEL_HEIGHT and abs(label_x - a) < LABEL_WIDTH for a, b in labels):
        label_y += LABEL_HEIGHT
    labels.append((label_x, label_y))
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>'
    anchor = "end" if at_left else "start"
    return dot + _text(label_x, label_y, line.server, anchor, colour=colour)


def _text(
    x: float, y: float, text: str, anchor: str = "start", size: int = 11, colour: str = TEXT_COLOUR
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID_COLOUR}"/>'


def _round_up(value: float) -> float:
    """Return the next 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _thousands(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"
