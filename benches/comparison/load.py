"""One run of load against a running server."""

from __future__ import annotations

import time
from dataclasses import dataclass

import weigh
from comparison import generators
from comparison.serving import Running
from comparison.workloads import Workload


@dataclass(frozen=True, slots=True)
class Client:
    """How the load is made."""

    placement: str
    """`free` or `pinned`: what the figures are filed under."""
    threads: int
    cpus: set[int] | None
    """The CPUs that the load generator may use; None for all."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The measurements of one run of load; None where the load generator does not say."""

    requests_per_second: float
    p50_us: float | None
    p99_us: float | None
    cpu_us_per_request: float
    """Of the server's whole tree, user and system time."""
    client_cpu_share: float
    """CPU time of the load generator over what its threads could have used: near 1, it was the limit."""
    errors: dict[str, int]
    """The number of errors of each kind that occurred."""


def apply_load(server: Running, workload: Workload, client: Client, duration_seconds: float) -> LoadResult:
    """Keep the server busy for the time given and say how it did."""
    generate = generators.GENERATORS[workload.client]
    cpu_before = weigh.cpu_seconds(server.pid)
    made = generate(server, workload, generators.Effort(duration_seconds, client.threads, client.cpus))
    cpu_used = weigh.cpu_seconds(server.pid) - cpu_before
    stalled = {"stalled connections": made.stalled} if made.stalled else {}
    return LoadResult(
        requests_per_second=made.requests / made.seconds,
        p50_us=made.p50_us,
        p99_us=made.p99_us,
        cpu_us_per_request=cpu_used * 1e6 / max(1, made.requests),
        client_cpu_share=made.cpu_seconds / made.seconds / client.threads,
        errors=made.errors | stalled,
    )


def warm_up(server: Running, workload: Workload, client: Client) -> None:
    """One second of load whose figures are thrown away."""
    apply_load(server, workload, client, 1.0)
    time.sleep(0.2)
