"""The picture of the case: a staircase of the states, and the memory of a day."""

from __future__ import annotations

from pathlib import Path

from replay.day import Day
from replay.states import Weighed

WEB, INDEXER, OURS = "#94a3b8", "#cbd5e1", "#c2410c"
MARKS = {"recycled": ("v", "recycled"), "job": ("s", "index made")}


def draw(steps: list[Weighed], days: list[Day], path: Path) -> None:
    """Write it to a file, whose ending names the format."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    # Texts as texts, and the same bytes for the same figures.
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "case", "font.size": 9}
    import matplotlib.pyplot as plt

    figure, (stairs, curve) = plt.subplots(
        2, 1, figsize=(8.5, 6.4), height_ratios=(1.15, 1), layout="constrained"
    )
    _stairs(stairs, [step for step in steps if step.is_step])
    _curve(curve, days)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _stairs(axes, steps: list[Weighed]) -> None:
    names = [step.name for step in steps]
    web, indexer = [step.web for step in steps], [step.indexer for step in steps]
    axes.barh(names, web, color=OURS, label="web application")
    axes.barh(names, indexer, left=web, color=INDEXER, label="indexer, between its runs")
    for row, step in enumerate(steps):
        axes.annotate(
            f"{step.web + step.indexer:,.1f} MB"
            if step.web + step.indexer < 100
            else f"{step.web + step.indexer:,.0f} MB",
            (step.web + step.indexer, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.invert_yaxis()
    axes.set(xlim=(0, max(map(sum, zip(web, indexer, strict=True))) * 1.12))
    axes.set_title("A training site, step by step: memory after the load (PSS)", loc="left", weight="bold")
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes, days: list[Day]) -> None:
    for day, colour in zip(days, (WEB, OURS), strict=False):
        both = [web + indexer for web, indexer in zip(day.web, day.indexer, strict=True)]
        axes.plot(day.hours, both, color=colour, label=day.name, linewidth=1.4)
        for kind, (marker, label) in MARKS.items():
            hours = [hour for hour, event in day.events if event == kind]
            level = [_at(day, both, hour) for hour in hours]
            if hours and colour == OURS:
                axes.plot(hours, level, marker, color=colour, markersize=5, fillstyle="none", label=label)
    axes.set(yscale="log", xlabel="hour of a replayed day", ylabel="MB, both together", xlim=(0, 24))
    axes.set_xticks(range(0, 25, 3))
    axes.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"])
    axes.set_title(
        "The same site over a day: night, use from 7 to 23, three reports", loc="left", weight="bold"
    )
    axes.legend(loc="lower center", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _at(day: Day, both: list[float], hour: float) -> float:
    return both[min(range(len(both)), key=lambda at: abs(day.hours[at] - hour))]
