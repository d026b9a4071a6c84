"""The recorded figures, and what has grown beyond them."""

from __future__ import annotations

import json
from pathlib import Path

from comparison.environment import BENCHES

RECORDED = BENCHES / "recorded.json"

TOLERANCE = 0.05
"""How much a figure may grow over the recorded one."""

Figures = dict[str, float]


def read(path: Path = RECORDED) -> dict[str, Figures]:
    """Return what is recorded for each Python."""
    return json.loads(path.read_text()) if path.exists() else {}


def write(measured: dict[str, Figures], path: Path = RECORDED) -> None:
    """Record what was measured; figures of other Pythons stay."""
    recorded = read(path)
    for python, figures in measured.items():
        recorded.setdefault(python, {}).update({name: round(value) for name, value in figures.items()})
    path.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")


def lines(measured: dict[str, Figures], recorded: dict[str, Figures], shared: bool) -> tuple[list[str], bool]:
    """Return a line for each figure, and whether all are within the tolerance.

    `shared` says that other processes map pages of the same Python: PSS is not compared then.
    """
    told, good = [], True
    for python, figures in measured.items():
        for name, value in figures.items():
            known = recorded.get(python, {}).get(name)
            if known is None:
                verdict = "nothing recorded"
            elif shared and "PSS" in name:
                verdict = f"not compared to {known}: other processes run a Python"
            elif value > known * (1 + TOLERANCE):
                verdict = f"TOO MUCH: {value / known - 1:+.1%} over {known}, {TOLERANCE:.0%} allowed"
                good = False
            else:
                verdict = f"{value / known - 1:+.1%} to {known}"
            told.append(f"{python:24} {name:24} {value:10.0f}  {verdict}")
    return told, good
