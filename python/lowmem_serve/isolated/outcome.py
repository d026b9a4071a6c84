"""From what a process has said, or how it has ended, to what the caller gets."""

import pickle

from lowmem_serve.isolated import Died, OutOfMemory, RemoteError, RemoteTraceback, Timeout
from lowmem_serve.isolated.slots import Slots

LAST_WORDS = 2.0
"""Seconds that a process has to end by itself once it has said all: `atexit`, its threads."""

slots: list[Slots] = []
"""The places of this process, once there was a call."""


def places(call) -> list[Slots]:
    """Where a call waits for its place: among its function's, if those are counted, and among all."""
    from lowmem_serve.isolated import concurrent

    if not slots:
        slots.append(Slots(concurrent()))
    return [*([call.slots] if call.slots else []), *slots]


def error_of(told: dict) -> BaseException:
    """The exception that the function has raised, with the traceback of its process as the cause."""
    error = pickle.loads(told["error"]) if told["error"] else RemoteError(told["type"], told["message"])
    if not isinstance(error, Exception):
        # SystemExit and KeyboardInterrupt are about the process that they are raised in.
        error = RemoteError(told["type"], told["message"])
    error.__cause__ = RemoteTraceback(told["traceback"])
    return error


def died(code: int | None) -> Died:
    if code is None:
        # Its template, which knows how, is gone.
        return Died(None)
    return Died(-code, None) if code < 0 else Died(None, code)


def too_long(call) -> Timeout:
    return Timeout(f"{call.module}.{call.name} took longer than {call.timeout} s")


def too_large(call, bytes: int) -> OutOfMemory:
    return OutOfMemory(
        f"{call.module}.{call.name} had {bytes / (1 << 20):.0f} MB of its own, more than its max_memory"
    )
