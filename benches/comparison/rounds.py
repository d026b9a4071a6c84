"""All measurements, interleaved.

Round-robin: each round measures every server once before the next round begins, so that a
machine that grows slower or faster meanwhile does so for all of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from comparison.sample import Sample, Settings, take
from comparison.servers import Server
from comparison.workloads import Workload


@dataclass(slots=True)
class Row:
    """The measurements of one server with one workload, a sample for each round."""

    server: Server
    workload: Workload
    samples: list[Sample] = field(default_factory=list)

    @property
    def failure(self) -> str | None:
        """Why the row is void; None when it is not."""
        return next((sample.failure for sample in self.samples if sample.failure), None)


def run(servers: list[Server], workloads: list[Workload], settings: Settings, rounds: int) -> list[Row]:
    """Measure everything; a row that has failed is not tried again in later rounds."""
    rows = [Row(server, workload) for workload in workloads for server in servers if server.serves(workload)]
    begin = time.monotonic()
    for number in range(1, rounds + 1):
        for row in rows:
            if row.failure is None:
                row.samples.append(take(row.server, row.workload, settings))
                elapsed = time.monotonic() - begin
                print(f"[{elapsed:5.0f} s] round {number}/{rounds}  {_told(row)}", flush=True)
    return rows


def _told(row: Row) -> str:
    sample = row.samples[-1]
    title = f"{row.workload.name:8} {row.server.name:21}"
    if sample.failure:
        return f"{title} FAILED: {sample.failure}"
    figures = sample.figures
    parts = [
        f"ready {figures['ready_ms']:.0f} ms",
        f"idle PSS {figures['idle_pss_mib']:.1f} MiB",
        f"free {figures['free_requests_per_second']:.0f}/s",
    ]
    if "pinned_requests_per_second" in figures:
        parts.append(f"pinned {figures['pinned_requests_per_second']:.0f}/s")
    parts += [f"{kind} ({count})" for kind, count in sample.errors.items()]
    parts += sample.remarks
    return f"{title} {', '.join(parts)}"
