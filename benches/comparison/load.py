"""One run of wrk against a running server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

import weigh
from comparison.environment import APPS
from comparison.serving import NotServing, Running
from comparison.workloads import Workload

REPORT_SCRIPT = APPS / "wrk" / "report.lua"
REPORT_MARK = "REPORT "
REQUEST_TIMEOUT_SECONDS = 5
ERROR_KINDS = {
    "connect": "connect errors",
    "read": "read errors",
    "write": "write errors",
    "timeout": "timeouts",
    "status": "statuses of 400 and more",
}
"""The report's names, and ours."""

TAKING_PART = 0.75
"""Below this share of busy connections some have stalled: wrk does not tell, as it counts a
timeout only when the answer comes at last."""

CLIENT_HAS_TIME = 0.8
"""Above this share of its CPU time, wrk itself keeps connections waiting."""

HANG_SECONDS = 30.0
"""How much longer than asked wrk may take before it is given up."""


@dataclass(frozen=True, slots=True)
class Client:
    """How the load is made."""

    placement: str
    """`free` or `pinned`: what the figures are filed under."""
    threads: int
    cpus: set[int] | None
    """The CPUs that wrk may use; None for all."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What one run of load measured."""

    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us_per_request: float
    """Of the server's whole tree, user and system time."""
    client_cpu_share: float
    """CPU time of wrk over what its threads could have used: near 1, wrk was the limit."""
    busy_connections: float
    """How many connections took part: rate times mean latency (Little's law)."""
    errors: dict[str, int]
    """What went wrong, by kind and counted; without what did not happen."""


def apply_load(server: Running, workload: Workload, client: Client, duration_seconds: float) -> LoadResult:
    """Keep the server busy for the time given and say how it did."""
    command = [
        *("wrk", "--latency", f"-t{client.threads}", f"-c{workload.connections}"),
        *(f"-d{max(1, round(duration_seconds))}s", "--timeout", f"{REQUEST_TIMEOUT_SECONDS}s"),
        *("-s", str(REPORT_SCRIPT), f"http://127.0.0.1:{server.port}/"),
        *("--", workload.method, str(workload.body_bytes)),
    ]
    cpu_before = weigh.cpu_seconds(server.pid)
    output, client_cpu = _run_wrk(command, client.cpus, duration_seconds + HANG_SECONDS)
    cpu_used = weigh.cpu_seconds(server.pid) - cpu_before
    counts = _report(output)
    duration = counts["duration"] / 1e6
    rate = counts["requests"] / duration
    client_share = client_cpu / duration / client.threads
    busy = rate * counts["mean"] / 1e6
    errors = {ours: counts[its] for its, ours in ERROR_KINDS.items() if counts[its]}
    if busy < TAKING_PART * workload.connections and client_share < CLIENT_HAS_TIME:
        errors["stalled connections"] = workload.connections - round(busy)
    return LoadResult(
        requests_per_second=rate,
        p50_us=counts["p50"],
        p99_us=counts["p99"],
        cpu_us_per_request=cpu_used * 1e6 / max(1, counts["requests"]),
        client_cpu_share=client_share,
        busy_connections=busy,
        errors=errors,
    )


def _run_wrk(command: list[str], cpus: set[int] | None, limit: float) -> tuple[str, float]:
    """Run wrk; return what it printed and the CPU time (s) that it used."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=None if cpus is None else lambda: os.sched_setaffinity(0, cpus),
    )
    try:
        used_before = os.times()
        output, _ = process.communicate(timeout=limit)
        used = os.times()
    except subprocess.TimeoutExpired as error:
        raise NotServing(f"wrk did not end within {limit:.0f} s") from error
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    cpu = used.children_user - used_before.children_user
    cpu += used.children_system - used_before.children_system
    return output, cpu


def _report(output: str) -> dict[str, int]:
    for line in output.splitlines():
        if line.startswith(REPORT_MARK):
            return json.loads(line.removeprefix(REPORT_MARK))
    raise NotServing(f"wrk made no report:\n{output.strip()}")


def warm_up(server: Running, workload: Workload, client: Client) -> None:
    """One second of load whose figures are thrown away."""
    apply_load(server, workload, client, 1.0)
    time.sleep(0.2)
