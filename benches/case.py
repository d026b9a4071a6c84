"""The case of docs/case.md: a training site in its states from before to after, weighed after the same load.

    python benches/case.py                                        tables; some 15 minutes
    python benches/case.py --json case.json --picture case.svg
    python benches/case.py --quick                                a small site, two minutes; not for figures

It makes its own environment in benches/.venv-case. The data and the load have fixed seeds. Figures are PSS of the
whole process trees in MB of 1024², one run. --courses, --words and --requests make it smaller, --hour says how many
seconds an hour of the replayed day takes.

Exit codes: 0 measured, 2 not measured, with the reason, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from comparison import command, environment, serving
from comparison.tables import aligned
from replay import day, load, pair, picture, states
from weigh import weigh_tree

VENV = environment.BENCHES / ".venv-case"
REQUIREMENTS = (states.CASE / "requirements.txt", environment.BENCHES / "case-requirements.txt")
QUICK = {"courses": 100, "words": 100, "requests": 200, "hour": 2.0}


def main() -> int:
    """Measure, print tables, and write what was asked for."""
    options = _parse()
    # So that an ended run ends its servers too: finally blocks run on SystemExit.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Without a cache on disk, what is measured is the compiler.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ |= {"LOWMEM_SERVE_PACKAGE": str(environment.BENCHES.parent / "python" / "lowmem_serve")}
    try:
        python = options.python or environment.prepared_venv(VENV, REQUIREMENTS)
        with tempfile.TemporaryDirectory(prefix="case-") as work:
            steps, halves, days = _measured(options, python.absolute(), Path(work))
    except KeyboardInterrupt:
        print("case.py: interrupted; nothing written", file=sys.stderr)
        return 130
    except (
        serving.NotServing,
        environment.CannotPrepare,
        OSError,
        subprocess.SubprocessError,
        load.WrongAnswer,
    ) as error:
        print(f"case.py: {error}", file=sys.stderr)
        return 2
    _print(steps, halves, days)
    if options.json:
        told = {"steps": steps, "pair": halves, "days": days}
        found = {name: [asdict(line) for line in lines] for name, lines in told.items()}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.picture:
        environment.borrow_packages(VENV)
        picture.draw(steps, days, options.picture)
    return 0


def _parse() -> argparse.Namespace:
    parser = command.parser(__doc__, python=None)
    parser.add_argument(
        "--python", type=Path, help="an environment with the requirements, in place of its own"
    )
    parser.add_argument("--courses", type=int, default=3000)
    parser.add_argument("--words", type=int, default=2000, help="of each transcript")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--hour", type=float, default=10.0, help="seconds that an hour of the day takes")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    return options


def _measured(
    options: argparse.Namespace, python: Path, work: Path
) -> tuple[list[states.Weighed], list[pair.Half], list[day.Day]]:
    data = {"CASE_DB": str(work / "case.sqlite3"), "CASE_INDEX": str(work / "index.sqlite3")}
    variables = data | {"LOWMEM_STATE_DIR": str(work / "state"), "LOWMEM_CACHE_DIR": str(work / "cache")}
    empty = work / "empty.toml"
    empty.touch()
    size = ["--courses", str(options.courses), "--words", str(options.words)]
    generate = [sys.executable, str(states.CASE / "generate.py"), data["CASE_DB"], *size]
    subprocess.run(generate, check=True, timeout=states.WITHIN_SECONDS)
    site = states.Site(python, options.binary, variables, options.courses, options.requests, empty)

    halves = pair.measured(site, work)
    with states.daemon(site) as pid:
        indexer = weigh_tree(pid).pss / 1024
    steps = []
    for state in states.states(site):
        steps.append(states.measured(state, site, indexer))
        print(f"{state.name}: {steps[-1].web:.1f} MB", file=sys.stderr, flush=True)
    days = [day.before(site, options.hour), day.after(site, options.hour)]
    return steps, halves, days


def _print(steps: list[states.Weighed], halves: list[pair.Half], days: list[day.Day]) -> None:
    first = steps[0].web + steps[0].indexer
    cells = [
        [
            step.name,
            f"{step.first:.1f}",
            f"{step.web:.1f}",
            f"{step.indexer:.1f}",
            f"{first / (step.web + step.indexer):.1f}×",
        ]
        for step in steps
    ]
    print(
        aligned(["MB PSS", "web, first page", "web, after the load", "indexer", "both, of the first"], cells)
    )
    cells = [
        [
            step.name,
            f"{step.first_ms:.0f}",
            f"{step.median_ms:.1f}",
            f"{step.first_report_ms:.0f}",
            f"{step.report_ms:.0f}",
            "–" if step.wake_ms is None else f"{step.wake_ms:.0f}",
        ]
        for step in steps
    ]
    print("\n" + aligned(["ms", "first course", "median", "first report", "next report", "wake"], cells))
    cells = [[half.name, f"{half.data:.1f}", f"{half.rate:.0f}"] for half in halves]
    print("\n" + aligned(["", f"{pair.ROWS:,} rows, MB", "requests/s, 200 rows"], cells))
    cells = [
        [
            each.name,
            *(f"{part:.1f}" for part in each.evening()),
            f"{each.night():.1f}",
            f"{max(each.web):.1f}",
            str(each.requests),
            f"{each.slowest_ms:.0f}",
            str(sum(event == "recycled" for _, event in each.events)),
        ]
        for each in days
    ]
    titles = [
        "a day",
        "web, evening",
        "indexer, evening",
        "night, both",
        "most",
        "requests",
        "slowest ms",
        "recycled",
    ]
    print("\n" + aligned(titles, cells))


if __name__ == "__main__":
    sys.exit(main())
