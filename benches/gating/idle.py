"""The weight of an idle process tree."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import weigh
from comparison import serving, workloads
from comparison.environment import APPS
from gating.python import Python

STARTS = 3
"""The lightest of so many counts: other processes can only add to what is measured."""

SETTLE_SECONDS = 0.5
"""Between the first answer and the weighing, at least."""

ASLEEP_WITHIN_SECONDS = 20.0
"""On a busy machine it takes longer until every process has done what comes after a start."""

WORKLOADS = ("hello", "quart")


def figures(binary: Path, python: Python) -> dict[str, float]:
    """Return PSS and dirty memory in KiB for each workload, after its first request."""
    _compile(python)
    # Pages of files that were just written, such as a new build's, count as dirty until they are on the disk.
    os.sync()
    found = {}
    for workload in workloads.named(list(WORKLOADS)):
        taken = [_weigh(binary, python, workload) for _ in range(STARTS)]
        found[f"idle PSS, {workload.name}, KiB"] = min(weight.pss for weight in taken)
        found[f"idle dirty, {workload.name}, KiB"] = min(weight.dirty for weight in taken)
    return found


def _compile(python: Python) -> None:
    """Write the bytecode of the applications.

    A worker that compiles hello.py itself keeps 240 KiB of holes in its heap: 6 % of what is compared. A start
    writes the bytecode for the next one, but not where PYTHONDONTWRITEBYTECODE is set.
    """
    subprocess.run([python.path, "-m", "compileall", "-q", APPS], check=True)


def _weigh(binary: Path, python: Python, workload: workloads.Workload) -> weigh.Weight:
    def command(port: int) -> list[str]:
        served = ("--python", str(python.path), workload.app, "--port", str(port))
        return [str(binary), *served, "--no-access-log"]

    with serving.running(command, workload) as instance:
        if instance.fault:
            raise serving.NotServing(instance.fault)
        time.sleep(SETTLE_SECONDS)
        deadline = time.monotonic() + ASLEEP_WITHIN_SECONDS
        while not all(map(weigh.is_asleep, weigh.process_tree(instance.pid))) and time.monotonic() < deadline:
            time.sleep(0.02)
        return weigh.weigh_tree(instance.pid)
