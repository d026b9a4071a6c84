"""What an application takes without a server: the floor of its row in the comparison.

    python benches/alone.py                        quart, fastapi, django: CPU µs a request
    python benches/alone.py --only quart --rounds 5

Each application is imported by a process of its own, on one core where that can be had, and called by
asyncio with a scope, a `receive` and a `send` of a few lines of Python: no socket, no HTTP, nothing
written. As under a server with connections that are ready together, 64 requests are begun at a time.
Figures are medians over the rounds, which go through all applications in turn, with the lowest and the
highest in brackets.

Exit codes: 0 measured, 2 not measured, with the reason.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

from comparison import environment
from comparison.workloads import WORKLOADS, Workload

APPLICATIONS = ("quart", "fastapi", "django")

CALLER = environment.BENCHES / "floors" / "application.py"


def main() -> int:
    """Measure, and print a table."""
    arguments = _parse()
    chosen = [workload for workload in WORKLOADS if workload.name in arguments.only]
    taken: dict[str, list[float]] = {workload.name: [] for workload in chosen}
    try:
        environment.prepare(upgrade=False)
        for _ in range(arguments.rounds):
            for workload in chosen:
                taken[workload.name].append(_cpu_microseconds(workload, arguments.seconds))
    except environment.CannotPrepare as error:
        print(f"alone.py: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"alone.py: an application ended with exit code {error.returncode}: see above", file=sys.stderr)
        return 2
    print("| application alone | CPU µs a request |", "|---|---:|", sep="\n")
    for name, figures in taken.items():
        print(f"| {name} | {statistics.median(figures):,.0f} ({min(figures):,.0f}–{max(figures):,.0f}) |")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=lambda names: names.split(","), default=APPLICATIONS, help="applications, with commas"
    )
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="CPU time for each figure (default: 2)")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(APPLICATIONS):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(APPLICATIONS)}")
    return arguments


def _cpu_microseconds(workload: Workload, seconds: float) -> float:
    answer = workload.right_answer.decode()
    called = subprocess.run(
        [environment.VENV_PYTHON, CALLER, workload.app, str(seconds), answer],
        cwd=environment.APPS,
        env=os.environ | {"PYTHONPATH": str(environment.APPS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        preexec_fn=_take_one_core,
    )
    return float(called.stdout)


def _take_one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


if __name__ == "__main__":
    sys.exit(main())
