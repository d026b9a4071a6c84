"""A call that a thread waits for: its own, which blocks."""

import select
import threading
import time

from lowmem_serve.isolated import child, forked, outcome, output, turns
from lowmem_serve.isolated.fresh import Fresh
from lowmem_serve.isolated.output import Output
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
        lines = output.of(call)
        try:
            kind, content = _run(call, end, lines)
        finally:
            if lines:
                lines.close()
    finally:
        for slots in reversed(held):
            slots.give_back()
    if kind == child.RETURNED:
        return content
    raise outcome.error_of(content)


def _run(call, end: float | None, lines: Output | None):
    process = _process(call, end, lines)
    try:
        process.call(call.message())
        return _message(process, call, end, lines)
    finally:
        process.end()


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


def _process(call, end: float | None, lines: Output | None) -> Process:
    """From a template if there is one that answers, else a fresh interpreter."""
    turns.shorten()
    into = lines.theirs if lines else None
    asked = forked.ask(into)
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
    return Fresh(f"{call.module}.{call.name}", into)


def _message(process: Process, call, end: float | None, lines: Output | None):
    connection = process.reader.connection.fileno()
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    if lines:
        lines.started()
        poll.register(lines.descriptor, select.POLLIN)
    look_at = None if call.max_memory is None else time.monotonic() + LOOK_EVERY
    while (message := process.reader.take()) is None:
        if end is not None and time.monotonic() >= end:
            raise outcome.too_long(call)
        ready = {descriptor for descriptor, _ in poll.poll(_milliseconds_to(end, look_at))}
        if lines and lines.descriptor in ready and not lines.read():
            poll.unregister(lines.descriptor)
        if connection in ready and not _read(process):
            process.wait(outcome.LAST_WORDS)
            raise outcome.died(process.end())
        if look_at is not None and time.monotonic() >= look_at:
            look_at = time.monotonic() + LOOK_EVERY
            if (own := process.private_memory()) > call.max_memory:
                raise outcome.too_large(call, own)
    return message


def _milliseconds_to(*times: float | None) -> float | None:
    """The wait until the first of them; none if there is none."""
    first = min((at for at in times if at is not None), default=None)
    return None if first is None else max(first - time.monotonic(), 0) * 1000


def _read(process: Process) -> bool:
    try:
        return process.reader.read()
    except BlockingIOError:
        return True
    except OSError:
        return False
