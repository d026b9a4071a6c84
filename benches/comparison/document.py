"""The results of one run, and the JSON file that keeps them."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comparison.environment import without_folder
from comparison.machine import Machine
from comparison.rounds import Row
from comparison.sample import Settings
from comparison.summary import Line, Ratio, Spread, ratios


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that a report says."""

    begun: str
    """UTC, ISO 8601."""
    machine: Machine
    versions: dict[str, str]
    settings: Settings
    rounds: int
    lines: list[Line]
    skipped: dict[str, str]
    """Servers that were asked for but cannot run here, and why."""
    notes: list[str]

    @property
    def ratios(self) -> list[Ratio]:
        """Our figures over those of the peers."""
        return ratios(self.lines)


def as_json(comparison: Comparison, rows: list[Row]) -> str:
    """Return the figures of every round, and the machine and versions they belong to."""
    document = {
        "begun": comparison.begun,
        "machine": asdict(comparison.machine),
        "versions": comparison.versions,
        "settings": {**asdict(comparison.settings), "rounds": comparison.rounds},
        "skipped": comparison.skipped,
        "notes": comparison.notes,
        "rows": [
            {
                "workload": line.workload,
                "server": line.server,
                "family": line.family,
                "note": line.note,
                "command": shlex.join(row.server.serve(row.workload, 8000)),
                "disqualified": line.disqualified,
                "summary": {name: asdict(spread) for name, spread in line.figures.items()},
                "samples": [asdict(sample) for sample in row.samples],
            }
            for row, line in zip(rows, comparison.lines, strict=True)
        ],
        "ratios": [asdict(ratio) for ratio in comparison.ratios],
    }
    return without_folder(json.dumps(document, indent=2, ensure_ascii=False)) + "\n"


def read(path: Path) -> Comparison:
    """Return what an earlier run wrote; ValueError where the file is something else."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        settings = document["settings"]
        return Comparison(
            begun=document["begun"],
            machine=Machine(**document["machine"]),
            versions=document["versions"],
            rounds=settings.pop("rounds"),
            settings=Settings(**settings),
            lines=[_line(row) for row in document["rows"]],
            skipped=document["skipped"],
            notes=document["notes"],
        )
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what compare.py writes as JSON: {error!r}") from error


def _line(row: dict[str, Any]) -> Line:
    return Line(
        workload=row["workload"],
        server=row["server"],
        family=row["family"],
        note=row.get("note", ""),
        figures={name: Spread(**spread) for name, spread in row["summary"].items()},
        disqualified=row["disqualified"],
        remarks=tuple(dict.fromkeys(text for sample in row["samples"] for text in sample["remarks"])),
    )
