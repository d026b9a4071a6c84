"""Memory against rate as an SVG, one panel for each workload. Up and to the left is better."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from comparison.labels import Box, Label, Point, place
from comparison.servers import FLOOR, OURS
from comparison.summary import Line
from comparison.workloads import WORKLOADS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURED = ("hello", "quart", "fastapi", "django")
"""The workloads in the picture. The other workloads are in the tables, and in a picture only where none of these was run."""

MOST_PANELS, COLUMNS = 4, 2

WIDTH, HEIGHT, HEAD = 440, 320, 58
"""Pixels of one panel, its axes and labels included, and of what is above the panels."""

LEFT, RIGHT, TOP, BOTTOM = 58, 22, 68, 46
"""Pixels between a panel's edges and its plotting area."""

PIXELS_AN_INCH = 100
POINTS_A_PIXEL = 72 / PIXELS_AN_INCH
STEPS = 4
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

    def properties(self) -> dict[str, object]:
        """Its words for matplotlib."""
        weight = "bold" if self.bold else "normal"
        return {"fontsize": self.size * POINTS_A_PIXEL, "color": self.colour, "weight": weight}


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
    """Return the picture as SVG: x is idle PSS (MiB), y is requests per second, pinned if measured.

    Each family of servers is one dot in a panel: that configuration of it which answered the most.
    """
    import matplotlib

    matplotlib.use("svg")
    # Texts as texts, and the same bytes for the same figures.
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "comparison"}
    from matplotlib import pyplot

    panels = _panels([line for line in lines if MEMORY in line.figures and not line.disqualified])
    columns = max(1, min(COLUMNS, len(panels)))
    width, height = columns * WIDTH, HEAD + math.ceil(len(panels) / columns) * HEIGHT
    figure = pyplot.figure(
        figsize=(width / PIXELS_AN_INCH, height / PIXELS_AN_INCH),
        facecolor=CARD_COLOUR,
        edgecolor=EDGE_COLOUR,
        linewidth=1,
    )
    for y, text, font in (
        (30, "Memory against rate", TITLE),
        (48, "one worker each; up and to the left is better", SUBTITLE),
    ):
        figure.text(LEFT / width, 1 - y / height, text, **font.properties())
    for number, (workload, dots) in enumerate(panels.items()):
        x, y = number % columns * WIDTH, HEAD + number // columns * HEIGHT
        size = ((PLOT.right - PLOT.left) / width, (PLOT.bottom - PLOT.top) / height)
        axes = figure.add_axes(((x + PLOT.left) / width, 1 - (y + PLOT.bottom) / height, *size))
        _panel(axes, workload, dots)
    written = io.StringIO()
    figure.savefig(written, format="svg", edgecolor=EDGE_COLOUR, metadata={"Date": None})
    pyplot.close(figure)
    return written.getvalue()


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


def _panel(axes: Axes, workload: str, dots: list[Dot]) -> None:
    memory_top = _round_up(max(dot.memory for dot in dots))
    rate_top = _round_up(max(dot.rate for dot in dots))
    about = {known.name: known.about for known in WORKLOADS}
    scale = Scale(memory_top, rate_top)
    axes.set(xlim=(0, memory_top), ylim=(0, rate_top))
    shares = [step / STEPS for step in range(STEPS + 1)]
    quiet = QUIET.properties()
    axes.set_xticks(
        [share * memory_top for share in shares], [f"{share * memory_top:g}" for share in shares], **quiet
    )
    axes.set_yticks(
        [share * rate_top for share in shares], [_thousands(share * rate_top) for share in shares], **quiet
    )
    axes.grid(color=GRID_COLOUR)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for x, y, text, font, anchor in (
        (LEFT, 20, workload, PANEL_TITLE, "left"),
        (LEFT, 36, about.get(workload, ""), QUIET, "left"),
        (8, TOP - 12, "requests/s", QUIET, "left"),
        (PLOT.right, HEIGHT - 12, "idle PSS of the process tree, MiB", QUIET, "right"),
    ):
        axes.text(*scale.figures(x, y), text, ha=anchor, **font.properties())
    points = [scale.point(dot) for dot in dots]
    for dot, point, label in zip(dots, points, place(points, NAMES), strict=True):
        _named_dot(axes, scale, dot, point, label)


@dataclass(frozen=True, slots=True)
class Scale:
    """Between a panel's figures and its pixels, whose y grows downwards."""

    memory_top: float
    rate_top: float

    def point(self, dot: Dot) -> Point:
        """Where a dot and its name are, in pixels."""
        return Point(
            x=PLOT.left + dot.memory / self.memory_top * (PLOT.right - PLOT.left),
            y=PLOT.bottom - dot.rate / self.rate_top * (PLOT.bottom - PLOT.top),
            radius=7 if dot.is_ours else 4,
            name=f"{dot.name}: {dot.memory:.0f} MiB, {_thousands(dot.rate)}/s" if dot.is_ours else dot.name,
            size=_font(dot).size,
            bold=_font(dot).bold,
        )

    def figures(self, x: float, y: float) -> tuple[float, float]:
        """The memory and the rate at a pixel."""
        memory = (x - PLOT.left) / (PLOT.right - PLOT.left) * self.memory_top
        return memory, (PLOT.bottom - y) / (PLOT.bottom - PLOT.top) * self.rate_top


def _named_dot(axes: Axes, scale: Scale, dot: Dot, point: Point, label: Label) -> None:
    font = _font(dot)
    if label.apart:
        end = min(max(point.x, label.box.left), label.box.right)
        is_above = label.box.bottom < point.y
        height = label.box.bottom if is_above else max(label.box.top, min(point.y, label.box.bottom))
        ends = scale.figures(point.x, point.y), scale.figures(end, height)
        axes.plot(*zip(*ends, strict=True), color=font.colour, linewidth=POINTS_A_PIXEL, clip_on=False)
    size = 2 * point.radius * POINTS_A_PIXEL
    axes.plot(dot.memory, dot.rate, "o", color=font.colour, markersize=size, clip_on=False)
    anchor = {"start": "left", "middle": "center", "end": "right"}[label.anchor]
    axes.text(*scale.figures(label.x, label.y), point.name, ha=anchor, **font.properties())


def _font(dot: Dot) -> Font:
    return OURS_FONT if dot.is_ours else PEER_FONT


def _round_up(value: float) -> float:
    """Return the next 1, 2, 4, 6 or 8 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)


def _thousands(value: float) -> str:
    if value < 1000:
        return f"{value:.0f}"
    return f"{value / 1000:.3g}k"
