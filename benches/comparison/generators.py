"""The load generators: wrk for HTTP/1.1, h2load for HTTP/2, a client of our own for WebSockets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from comparison import stalls, websocket_load
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
"""wrk's names, and ours."""

H2LOAD_TOTALS = re.compile(
    r"^requests: \d+ total, \d+ started, \d+ done, (?P<good>\d+) succeeded, "
    r"(?P<failed>\d+) failed, (?P<errored>\d+) errored, (?P<late>\d+) timeout",
    re.MULTILINE,
)
ECHOES = re.compile(r"\((?P<count>[\d,]+) in (?P<seconds>[\d.]+) s\)")
MESSAGE_BYTES = 32

LOOK_EVERY = 0.1
"""The share of the load between two looks at its connections."""

STALLED_FOR = 0.5
"""A connection that has received nothing for this share of the load has stalled. Shorter pauses are in the latencies."""

STALLED_SECONDS = 0.9
"""But not for less than this: servers on a busy machine pause for longer than half of a second. It is just
within the shortest load."""

HANG_SECONDS = 30.0
"""How much longer than asked a load generator may take before it is given up."""

READ_SECONDS = 1.0
"""For what a load generator that has ended has left in the pipe."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long, and on what, the load is made."""

    seconds: float
    threads: int
    cpus: set[int] | None
    """The CPUs that it may use; None for all."""


@dataclass(frozen=True, slots=True)
class Made:
    """The report of a load generator."""

    requests: int
    seconds: float
    cpu_seconds: float
    """Of the load generator itself."""
    stalled: int
    """Connections that no answer came on any more, as far as the kernel tells."""
    p50_us: float | None = None
    p99_us: float | None = None
    errors: dict[str, int] = field(default_factory=dict)


Generator = Callable[[Running, Workload, Effort], Made]


def wrk(server: Running, workload: Workload, effort: Effort) -> Made:
    """Ask in HTTP/1.1, one request at a time on each connection."""
    scheme = "https" if workload.transport == "tls" else "http"
    command = [
        *("wrk", "--latency", f"-t{effort.threads}", f"-c{workload.connections}"),
        *(f"-d{max(1, round(effort.seconds))}s", "--timeout", f"{REQUEST_TIMEOUT_SECONDS}s"),
        *("-s", str(REPORT_SCRIPT), f"{scheme}://127.0.0.1:{server.port}/"),
        *("--", workload.method, str(workload.body_bytes)),
    ]
    output, cpu, stalled = _run(command, server.port, effort)
    line = next((line for line in output.splitlines() if line.startswith(REPORT_MARK)), None)
    if line is None:
        raise NotServing(f"wrk made no report:\n{output.strip()}")
    counts = json.loads(line.removeprefix(REPORT_MARK))
    return Made(
        requests=counts["requests"],
        seconds=counts["duration"] / 1e6,
        cpu_seconds=cpu,
        stalled=stalled,
        p50_us=counts["p50"],
        p99_us=counts["p99"],
        errors={ours: counts[its] for its, ours in ERROR_KINDS.items() if counts[its]},
    )


def h2load(server: Running, workload: Workload, effort: Effort) -> Made:
    """Ask in HTTP/2 by prior knowledge."""
    seconds = max(1, round(effort.seconds))
    command = [
        *("h2load", f"-t{effort.threads}", f"-c{workload.connections}", f"-m{workload.streams}"),
        *("-D", str(seconds), f"http://127.0.0.1:{server.port}/"),
    ]
    output, cpu, stalled = _run(command, server.port, effort)
    totals = H2LOAD_TOTALS.search(output)
    if not totals:
        raise NotServing(f"h2load made no report:\n{output.strip()}")
    good = int(totals["good"])
    errors = {"failed": int(totals["failed"]), "timeouts": int(totals["late"]), "nothing answered": not good}
    return Made(
        requests=good,
        seconds=seconds,
        cpu_seconds=cpu,
        stalled=stalled,
        errors={kind: int(count) for kind, count in errors.items() if count},
    )


def websocket(server: Running, workload: Workload, effort: Effort) -> Made:
    """Send messages over WebSockets and count those that come back."""
    command = [
        *(sys.executable, websocket_load.__file__, str(server.port)),
        *("--connections", str(workload.connections), "--seconds", str(effort.seconds)),
        *("--size", str(MESSAGE_BYTES)),
    ]
    output, cpu, stalled = _run(command, server.port, effort)
    echoes = ECHOES.search(output)
    if not echoes:
        raise NotServing(f"the WebSocket client made no report:\n{output.strip()}")
    return Made(
        requests=int(echoes["count"].replace(",", "")),
        seconds=float(echoes["seconds"]),
        cpu_seconds=cpu,
        stalled=stalled,
    )


GENERATORS: dict[str, Generator] = {"wrk": wrk, "h2load": h2load, "websocket": websocket}
"""By the name that a workload gives."""


def _run(command: list[str], port: int, effort: Effort) -> tuple[str, float, int]:
    """Run a load generator; return what it printed, the CPU time (s) that it used and its stalled connections."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=None if effort.cpus is None else lambda: os.sched_setaffinity(0, effort.cpus),
    )
    try:
        used_before = os.times()
        stalled = _watch(process, port, effort.seconds)
        output, _ = process.communicate(timeout=READ_SECONDS)
        used = os.times()
    except subprocess.TimeoutExpired as error:
        limit = effort.seconds + HANG_SECONDS
        raise NotServing(f"{command[0]} did not end within {limit:.0f} s") from error
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
    cpu = used.children_user - used_before.children_user
    cpu += used.children_system - used_before.children_system
    return output, cpu, stalled


def _watch(process: subprocess.Popen[str], port: int, seconds: float) -> int:
    """Wait until a load of so many seconds is over; return the most connections that had stalled at once."""
    given_up = time.monotonic() + seconds + HANG_SECONDS
    silence = max(STALLED_FOR * seconds, STALLED_SECONDS)
    stalled = 0
    while time.monotonic() < given_up:
        try:
            process.wait(LOOK_EVERY * seconds)
            break
        except subprocess.TimeoutExpired:
            with contextlib.suppress(stalls.CannotTell):
                stalled = max(stalled, stalls.silent(port, silence))
    return stalled
