"""One measurement of one server with one workload."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import asdict, dataclass, field

import weigh
from comparison import connections, load, serving, websocket_load
from comparison.load import Client
from comparison.servers import FLOOR, Server
from comparison.workloads import WEBSOCKET_APP, WORKLOADS, Workload

IDLE_SETTLE_SECONDS = 0.5
"""Between the first answer and the idle weighing: lazy imports and lifespans come to an end."""

HELLO = WORKLOADS[0]
"""The workload that idle connections are weighed with."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how hard to measure."""

    load_seconds: float
    rest_seconds: float
    idle_connections: int
    idle_websockets: int
    free_threads: int
    warm_up: bool = True


@dataclass(slots=True)
class Sample:
    """The figures of one round; names carry their unit."""

    figures: dict[str, float] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    """The errors, by kind and placement; any of it disqualifies the row."""
    failure: str | None = None
    """Why the server could not be measured at all."""
    remarks: list[str] = field(default_factory=list)


def take(server: Server, workload: Workload, settings: Settings) -> Sample:
    """Start the server afresh for each placement and measure it."""
    sample = Sample()
    try:
        _measure_free(sample, server, workload, settings)
        _measure_pinned(sample, server, workload, settings)
    except serving.NotServing as error:
        sample.failure = str(error)
        return sample
    if workload is HELLO and server.family != FLOOR:
        _weigh_connections(sample, server, settings)
    return sample


def _measure_free(sample: Sample, server: Server, workload: Workload, settings: Settings) -> None:
    client = Client("free", settings.free_threads, cpus=None)
    with serving.running(lambda port: server.serve(workload, port), workload) as instance:
        sample.figures["ready_ms"] = instance.ready_seconds * 1000
        if instance.fault:
            sample.errors["wrong answers"] = 1
            sample.remarks.append(instance.fault)
        time.sleep(IDLE_SETTLE_SECONDS)
        _record_weight(sample, "idle", instance)
        if settings.warm_up:
            load.warm_up(instance, workload, client)
        _record_load(sample, instance, workload, client, settings)
        _record_weight(sample, "loaded", instance)
        time.sleep(settings.rest_seconds)
        _record_weight(sample, "rested", instance)


def _measure_pinned(sample: Sample, server: Server, workload: Workload, settings: Settings) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        return
    client = Client("pinned", threads=1, cpus={cpus[1]})
    with serving.running(lambda port: server.serve(workload, port), workload, {cpus[0]}) as instance:
        if settings.warm_up:
            load.warm_up(instance, workload, client)
        _record_load(sample, instance, workload, client, settings)


def _weigh_connections(sample: Sample, server: Server, settings: Settings) -> None:
    keep_alive = (HELLO.app, connections.KEEP_ALIVE_REQUEST, b"200", settings.idle_connections)
    websocket = (WEBSOCKET_APP, websocket_load.HANDSHAKE, b"101", settings.idle_websockets)
    kinds = {"idle_connection_kib": keep_alive}
    if server.websockets:
        kinds["idle_websocket_kib"] = websocket
    for figure, (app, request, status, count) in kinds.items():
        if not count:
            continue
        command = functools.partial(_holding_idle, server, app)
        try:
            with serving.running(command, HELLO) as instance:
                sample.figures[figure] = connections.kib_per_connection(instance, request, status, count)
        except serving.NotServing as error:
            sample.remarks.append(f"{figure}: {error}")


def _holding_idle(server: Server, app: str, port: int) -> list[str]:
    return [*server.command(app, port), *server.hold_idle]


def _record_load(
    sample: Sample,
    instance: serving.Running,
    workload: Workload,
    client: Client,
    settings: Settings,
) -> None:
    result = asdict(load.apply_load(instance, workload, client, settings.load_seconds))
    for kind, count in result.pop("errors").items():
        sample.errors[f"{client.placement}: {kind}"] = count
    for name, value in result.items():
        if value is not None:
            sample.figures[f"{client.placement}_{name}"] = value


def _record_weight(sample: Sample, moment: str, instance: serving.Running) -> None:
    weight = weigh.weigh_tree(instance.pid)
    sample.figures[f"{moment}_pss_mib"] = weight.pss / 1024
    sample.figures[f"{moment}_dirty_mib"] = weight.dirty / 1024
    sample.figures[f"{moment}_private_dirty_mib"] = weight.private_dirty / 1024
    sample.figures[f"{moment}_uss_mib"] = weight.uss / 1024
