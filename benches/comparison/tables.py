"""Tables of reports: Markdown that also reads well as plain text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Column(Generic[Line]):
    """A column of a table: its title, and the cell for a line."""

    title: str
    cell: Callable[[Line], str]


def table(columns: Sequence[Column[Line]], lines: list[Line]) -> str:
    """Return a table with a row for each line."""
    return aligned(
        [column.title for column in columns],
        [[column.cell(line) for column in columns] for line in lines],
    )


def aligned(titles: list[str], cells: list[list[str]]) -> str:
    """Return a table of these cells, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]

    def row(texts: list[str]) -> str:
        first = texts[0].ljust(widths[0])
        rest = (text.rjust(width) for text, width in zip(texts[1:], widths[1:], strict=True))
        return f"| {' | '.join([first, *rest])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([row(titles), row(rule), *map(row, cells)])
