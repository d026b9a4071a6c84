"""One run of load against a running server."""

from __future__ import annotations

import time
from dataclasses import dataclass

import weigh
from comparison import generators
from comparison.serving import Running
from comparison.workloads import Workload

TAKING_PART = 0.75
"""Below this share of busy connections some have stalled: wrk does not tell, as it counts a
timeout only when the answer comes at last."""

CLIENT_HAS_TIME = 0.8
"""Above this share of its CPU time, the load generator itself keeps connections waiting."""


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
    """What one run of load measured; None where the load generator does not say."""

    requests_per_second: float
    p50_us: float | None
    p99_us: float | None
    cpu_us_per_request: float
    """Of the server's whole tree, user and system time."""
    client_cpu_share: float
    """CPU time of the load generator over what its threads could have used: near 1, it was the limit."""
    busy_connections: float | None
    """How many connections took part: rate times mean latency (Little's law)."""
    errors: dict[str, int]
    """What went wrong, by kind and counted; without what did not happen."""


def apply_load(server: Running, workload: Workload, client: Client, duration_seconds: float) -> LoadResult:
    """Keep the server busy for the time given and say how it did."""
    generate = generators.GENERATORS[workload.client]
    cpu_before = weigh.cpu_seconds(server.pid)
    made = generate(server, workload, generators.Effort(duration_seconds, client.threads, client.cpus))
    cpu_used = weigh.cpu_seconds(server.pid) - cpu_before
    rate = made.requests / made.seconds
    client_share = made.cpu_seconds / made.seconds / client.threads
    errors = dict(made.errors)
    busy = None
    if made.mean_us is not None:
        busy = rate * made.mean_us / 1e6
        if busy < TAKING_PART * workload.connections and client_share < CLIENT_HAS_TIME:
            errors["stalled connections"] = workload.connections - round(busy)
    return LoadResult(
        requests_per_second=rate,
        p50_us=made.p50_us,
        p99_us=made.p99_us,
        cpu_us_per_request=cpu_used * 1e6 / max(1, made.requests),
        client_cpu_share=client_share,
        busy_connections=busy,
        errors=errors,
    )


def warm_up(server: Running, workload: Workload, client: Client) -> None:
    """One second of load whose figures are thrown away."""
    apply_load(server, workload, client, 1.0)
    time.sleep(0.2)
