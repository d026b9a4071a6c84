"""The table of README.md, from the JSON of one run or several."""

from __future__ import annotations

import json
from pathlib import Path

TITLES = (
    "trigger",
    "server",
    "swaps",
    "exchanges",
    "failed",
    "closed while idle",
    "longest stall",
    "WebSockets end with",
)


def table(reports: list[Path]) -> str:
    """Return the trials of all reports, those of one scenario beside each other."""
    rows = []
    for path in reports:
        report = json.loads(path.read_text(encoding="utf-8"))
        rows += [(trial["scenario"], _row(trial, report["versions"])) for trial in report["trials"]]
    scenarios = list(dict.fromkeys(scenario for scenario, _ in rows))
    rows.sort(key=lambda row: scenarios.index(row[0]))
    lines = [TITLES, ["---"] * len(TITLES), *(cells for _, cells in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(trial: dict, versions: dict[str, str]) -> list[str]:
    what = trial["trigger"]
    # Scenarios that the trigger alone does not distinguish from others.
    if trial["scenario"] in ("slow-import", "workers", "failing-successor", "endurance"):
        what = f"{trial['scenario']}: {what}"
    server = trial["server"]
    stall = trial["longest_stall"]["seconds"]
    return [
        f"`{what}`" if what.startswith("--") else what,
        f"{server} {versions.get(server, '')}".rstrip(),
        str(trial["swaps"]),
        f"{trial['exchanges']:,}",
        str(sum(trial["failures"].values())),
        str(trial["closed_while_idle"]),
        f"{stall * 1000:.0f} ms" if stall < 1 else f"{stall:.1f} s",
        ", ".join(f"{code} {times}" for code, times in trial["websocket_ends"].items()) or "–",
    ]
