"""A call that a thread waits for: its own, which blocks."""

import select
import threading
import time

from lowmem_serve.isolated import child, forked, outcome
from lowmem_serve.isolated.fresh import Fresh
from lowmem_serve.isolated.process import Process
from lowmem_serve.isolated.slots import Slots

LOOK_EVERY = 0.1
"""Seconds between two looks at the memory of a process."""


def synchronous(call) -> object:
    """Runs a call and returns what its function has."""
    end = None if call.timeout is None else time.monotonic() + call.timeout
    held: list[Slots] = []
    try:
        for slots in outcome.places(call):
            _take(slots, call, end)
            held.append(slots)
        process = _process(call, end)
        try:
            process.call(call.message())
            kind, content = _message(process, call, end)
        finally:
            process.end()
    finally:
        for slots in reversed(held):
            slots.give_back()
    if kind == child.RETURNED:
        return content
    raise outcome.error_of(content)


def _take(slots: Slots, call, end: float | None) -> None:
    free = threading.Event()
    state = threading.Lock()
    given_up = []

    def grant() -> bool:
        with state:
            if given_up:
                return False
            free.set()
            return True

    if slots.take(grant):
        return
    if free.wait(None if end is None else max(end - time.monotonic(), 0)):
        return
    slots.forget(grant)
    with state:
        given_up.append(True)
    if free.is_set():
        # It was granted in this moment.
        slots.give_back()
    raise outcome.too_long(call)


def _process(call, end: float | None) -> Process:
    """From a template if there is one that answers, else a fresh interpreter."""
    asked = forked.ask()
    if asked:
        try:
            is_answered = forked.is_readable(asked.status.fileno(), forked.patience(end))
        except BaseException:
            asked.give_up()
            raise
        if not is_answered:
            asked.give_up()
        elif process := asked.process():
            return process
    return Fresh(f"{call.module}.{call.name}")


def _message(process: Process, call, end: float | None):
    poll = select.poll()
    poll.register(process.reader.connection, select.POLLIN)
    while (message := process.reader.take()) is None:
        wait = LOOK_EVERY if call.max_memory is not None else None
        if end is not None:
            left = end - time.monotonic()
            if left <= 0:
                raise outcome.too_long(call)
            wait = left if wait is None else min(wait, left)
        if poll.poll(None if wait is None else wait * 1000):
            if not _read(process):
                process.wait(outcome.LAST_WORDS)
                raise outcome.died(process.end())
        elif call.max_memory is not None and (own := process.private_memory()) > call.max_memory:
            raise outcome.too_large(call, own)
    return message


def _read(process: Process) -> bool:
    try:
        return process.reader.read()
    except BlockingIOError:
        return True
    except OSError:
        return False
