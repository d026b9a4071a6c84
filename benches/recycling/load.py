"""All clients at once, for some seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from recycling import clients, transfers
from recycling.tally import Tally
from recycling.websocket import refusal, websocket
from recycling.wire import Endpoint

LONGEST_SECONDS = 40.0
"""Of a load that waits for something to happen."""

HEARTBEAT_SECONDS = 0.005
"""Between two looks at how late the load generator is itself."""

Trigger = Callable[[Tally], Awaitable[None]]
"""Makes the server recycle, again and again, until it is cancelled. It may look at the tally."""

Enough = Callable[[Tally], bool]
"""Whether what the load is for has happened."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How many clients of each kind, and how long theirs take."""

    keep_alive: int = 8
    per_request: int = 8
    idle: int = 20
    fresh: int = 4
    streams: int = 4
    uploads: int = 2
    websockets: int = 2
    events: int = 1
    idle_seconds: float = 4.0
    stream_seconds: float = 2.0
    upload_pieces: int = 64
    """Of 32 KiB: 2 MiB."""
    upload_seconds: float = 1.5
    leak_kib_per_second: int = 0
    sends_again: bool = True
    """Whether HTTP/2 clients send a request again that the server says it has not looked at."""


FULL = Mix()

SMALL = Mix(
    idle=10, streams=2, uploads=1, websockets=1, idle_seconds=1.5, stream_seconds=1.0, upload_seconds=0.7
)
"""For runs of some seconds."""

BUSY_PAUSE, CALM_PAUSE = 0.002, 0.04
"""Longest pause (s) of one half and of the other half of the keep-alive clients: some never rest,
and some rest long enough for the server to take their connection for idle."""

PER_REQUEST_PAUSE = 0.005
HANDSHAKE_PAUSE = 0.05
"""With TLS: handshakes would take the load generator all its time."""
LEAKS_PER_SECOND = 20


async def run(
    endpoint: Endpoint, mix: Mix, seconds: float, trigger: Trigger | None = None, enough: Enough | None = None
) -> Tally:
    """Put the server under load; the tally, once every exchange that had begun is over.

    With `enough` it goes on for longer until there is enough, but not beyond LONGEST_SECONDS.
    """
    wants_websockets = mix.websockets and not endpoint.transport.is_http2
    no_websockets = await refusal(endpoint) if wants_websockets else None
    tally = Tally(max(seconds, LONGEST_SECONDS) if enough else seconds)
    if no_websockets:
        tally.skipped.append(f"websocket: {no_websockets}")
    field = clients.Field(endpoint, tally)
    beside = [asyncio.create_task(_watch_itself(tally))]
    triggering = asyncio.create_task(_until(trigger(tally), field)) if trigger else None
    if triggering:
        beside.append(triggering)
    if enough:
        beside.append(asyncio.create_task(_end_with(enough, tally, seconds, triggering)))
    async with asyncio.TaskGroup() as group:
        for client in _clients(field, mix, websockets=wants_websockets and not no_websockets):
            group.create_task(client)
    for task in beside:
        task.cancel()
    for outcome in await asyncio.gather(*beside, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    return tally


def _clients(field: clients.Field, mix: Mix, websockets: bool) -> list:
    pause = HANDSHAKE_PAUSE if field.endpoint.tls else PER_REQUEST_PAUSE
    if field.endpoint.transport.is_http2:
        # Here, so that only the clients of HTTP/2 need its packages.
        from recycling import http2

        return http2.all_clients(field, mix, pause)
    chosen = []
    for number in range(mix.keep_alive):
        chosen.append(clients.keep_alive(field, CALM_PAUSE if number % 2 else BUSY_PAUSE))
    for number in range(mix.per_request):
        request = clients.CLOSING if number % 2 else clients.PLAIN
        chosen.append(clients.per_request(field, request, pause))
    chosen += [clients.idle(field, mix.idle_seconds) for _ in range(mix.idle)]
    chosen += [clients.fresh(field) for _ in range(mix.fresh)]
    chosen += [transfers.stream(field, mix.stream_seconds) for _ in range(mix.streams)]
    chosen += [transfers.upload(field, mix.upload_pieces, mix.upload_seconds) for _ in range(mix.uploads)]
    chosen += [transfers.events(field) for _ in range(mix.events)]
    if websockets:
        chosen += [websocket(field) for _ in range(mix.websockets)]
    if mix.leak_kib_per_second:
        kib = mix.leak_kib_per_second // LEAKS_PER_SECOND
        chosen.append(clients.leak(field, kib, 1 / LEAKS_PER_SECOND))
    return chosen


async def _until(trigger: Awaitable[None], field: clients.Field) -> None:
    try:
        async with asyncio.timeout(field.remaining):
            await trigger
    except TimeoutError:
        pass


async def _end_with(
    enough: Enough, tally: Tally, seconds: float, triggering: asyncio.Task[None] | None
) -> None:
    """End the load when there is enough, not before so many seconds."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(tally.began + seconds - loop.time())
    while True:
        if enough(tally):
            break
        await asyncio.sleep(HEARTBEAT_SECONDS)
    tally.ends = min(tally.ends, loop.time())
    if triggering:
        triggering.cancel()


async def _watch_itself(tally: Tally) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + HEARTBEAT_SECONDS
        await asyncio.sleep(HEARTBEAT_SECONDS)
        tally.own_lag = max(tally.own_lag, loop.time() - due)
