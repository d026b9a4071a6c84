"""Where the names of points go, so that none covers another or a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CHARACTER_WIDTH, BOLD_CHARACTER_WIDTH = 0.58, 0.65
"""Of the font's size: the mean of sans-serif fonts, rounded up."""

ASCENT, DESCENT = 0.95, 0.35
"""Of the font's size, with some air."""

GAP = 4
"""Pixels between a point and its name."""

RINGS = 6
"""How often a name that finds no place is looked for one further away."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether both have some area in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: Box) -> bool:
        """Whether the other is inside."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


@dataclass(frozen=True, slots=True)
class Point:
    """A point with a name."""

    x: float
    y: float
    radius: float
    name: str
    size: float
    """Of the name's font, in pixels."""
    bold: bool

    @property
    def box(self) -> Box:
        """The area that the dot covers."""
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True, slots=True)
class Label:
    """A name in its place."""

    x: float
    y: float
    """Of the base line."""
    anchor: str
    """The part of the text at `x`: its start, middle or end."""
    box: Box
    apart: bool
    """So far from its point that a line has to lead there."""


def place(points: Sequence[Point], area: Box) -> list[Label]:
    """Return a place within the area for each point's name; the first one chooses first."""
    taken = [point.box for point in points]
    labels = []
    for point in points:
        free = (
            label
            for label in _places(point)
            if area.holds(label.box) and not any(label.box.overlaps(other) for other in taken)
        )
        # Where nothing is free it covers something: rather than no name.
        label = next(free, None) or next(_places(point))
        labels.append(label)
        taken.append(label.box)
    return labels


def _places(point: Point) -> Iterator[Label]:
    """Yield the places around a point, the nearest and the best to read first."""
    width = len(point.name) * point.size * (BOLD_CHARACTER_WIDTH if point.bold else CHARACTER_WIDTH)
    height = (ASCENT + DESCENT) * point.size
    level = point.y - height / 2
    for ring in range(RINGS):
        away = point.radius + GAP + ring * height
        above, below = point.y - away - height, point.y + away
        for anchor, x, top in (
            ("start", point.x + away, level),
            ("end", point.x - away, level),
            ("middle", point.x, above),
            ("middle", point.x, below),
            ("start", point.x + away, above + height / 2),
            ("start", point.x + away, below - height / 2),
            ("end", point.x - away, above + height / 2),
            ("end", point.x - away, below - height / 2),
        ):
            left = x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
            box = Box(left, top, left + width, top + height)
            yield Label(x, top + ASCENT * point.size, anchor, box, apart=ring > 0)
