"""A call that a coroutine waits for, on any loop of asyncio's kind: nothing here blocks it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from lowmem_serve.isolated import child, forked, outcome, output, turns
from lowmem_serve.isolated.fresh import Fresh
from lowmem_serve.isolated.output import Output
from lowmem_serve.isolated.process import GONE, Process
from lowmem_serve.isolated.slots import Slots

LOOK_EVERY = 0.1
"""Seconds between two looks at the memory of a process."""


async def asynchronous(call) -> object:
    """Runs a call and returns what its function has."""
    async with _running(call) as run:
        kind, content = await run.message()
        if kind == child.RETURNED:
            return content
        raise outcome.error_of(content)


async def stream(call) -> AsyncIterator[object]:
    """Runs a call of a generator."""
    async with _running(call) as run:
        while True:
            kind, content = await run.message()
            if kind == child.END:
                return
            if kind != child.ITEM:
                raise outcome.error_of(content)
            run.process.more()
            yield content


@asynccontextmanager
async def _running(call):
    """The process of a call, once there is a place; whatever happens, nothing of it is left."""
    end = None if call.timeout is None else time.monotonic() + call.timeout
    async with AsyncExitStack() as held:
        for slots in outcome.places(call):
            await _take(slots, call, end)
            held.callback(slots.give_back)
        lines = output.of(call)
        if lines:
            held.callback(lines.close)
        process = await _process(call, end, lines)
        held.push_async_callback(_end, process)
        run = _Run(process, call, end, lines)
        held.callback(run.close)
        process.call(call.message())
        yield run


async def _end(process: Process) -> None:
    """Ends a process while the loop serves others: one that has much memory takes a while."""
    if not process.is_open:
        return
    try:
        process.kill()
        await _readable(process.handle, GONE)
    finally:
        process.end()


async def _process(call, end: float | None, lines: Output | None) -> Process:
    """From a template if there is one that answers, else a fresh interpreter."""
    turns.shorten()
    into = lines.theirs if lines else None
    asked = forked.ask(into)
    if asked:
        try:
            is_answered = await _readable(asked.status.fileno(), forked.patience(end))
        except BaseException:
            asked.give_up()
            raise
        if not is_answered:
            asked.give_up()
        elif process := asked.process():
            return process
    return Fresh(f"{call.module}.{call.name}", into)


async def _readable(descriptor: int, patience: float) -> bool:
    """Whether a descriptor becomes readable in time. Not by `asyncio.wait_for`, which loses a cancellation in the
    moment of success before Python 3.12."""
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def tell(value: bool) -> None:
        if not readable.done():
            readable.set_result(value)

    loop.add_reader(descriptor, tell, True)
    timer = loop.call_later(patience, tell, False)
    try:
        return await readable
    finally:
        timer.cancel()
        loop.remove_reader(descriptor)


async def _take(slots: Slots, call, end: float | None) -> None:
    loop = asyncio.get_running_loop()
    free = loop.create_future()

    def set_free() -> None:
        if free.done():
            # It was cancelled in this moment.
            slots.give_back()
        else:
            free.set_result(None)

    def grant() -> bool:
        # From whatever thread a call has ended in.
        if free.done():
            return False
        try:
            loop.call_soon_threadsafe(set_free)
        except RuntimeError:
            # The loop is closed.
            return False
        return True

    if slots.take(grant):
        return
    left = None if end is None else max(end - time.monotonic(), 0)
    try:
        # Not `wait_for`, which loses a cancellation that comes together with the result before Python 3.12.
        async with asyncio.timeout(left):
            await free
    except BaseException as error:
        if free.done() and not free.cancelled():
            # The place came in the moment in which it was wanted no more.
            slots.give_back()
        else:
            slots.forget(grant)
            free.cancel()
        if isinstance(error, TimeoutError):
            raise outcome.too_long(call) from None
        raise


class _Run:
    """The messages of a process, and its end, as a coroutine waits for them."""

    def __init__(self, process: Process, call, end: float | None, lines: Output | None) -> None:
        self.process, self._call, self._lines = process, call, lines
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_open = True
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._loop.add_reader(process.reader.connection.fileno(), self._read)
        if lines:
            lines.started()
            self._loop.add_reader(lines.descriptor, self._read_lines)
        if end is not None:
            left = max(end - time.monotonic(), 0)
            self._timers["end"] = self._loop.call_later(left, self._fail, outcome.too_long(call))
        if call.max_memory is not None:
            self._timers["look"] = self._loop.call_later(LOOK_EVERY, self._look)

    async def message(self):
        """The next message; an exception, if there is none."""
        while (message := self.process.reader.take()) is None:
            if self._failure:
                raise self._failure
            if not self._is_open:
                raise outcome.died(await self._end())
            self._changed.clear()
            await self._changed.wait()
        return message

    async def _end(self) -> int | None:
        """How the process has ended: its socket is closed, so that it is about to."""
        await _readable(self.process.ended, outcome.LAST_WORDS)
        # One that has closed its socket and goes on is killed.
        return self.process.end()

    def _read(self) -> None:
        try:
            self._is_open = self.process.reader.read()
        except BlockingIOError:
            return
        except OSError:
            self._is_open = False
        if not self._is_open:
            self._loop.remove_reader(self.process.reader.connection.fileno())
        self._changed.set()

    def _read_lines(self) -> None:
        if self._lines and not self._lines.read():
            self._close_lines()

    def _close_lines(self) -> None:
        if self._lines:
            self._loop.remove_reader(self._lines.descriptor)
            self._lines = None

    def _look(self) -> None:
        own = self.process.private_memory()
        if own > self._call.max_memory:
            self._fail(outcome.too_large(self._call, own))
        else:
            self._timers["look"] = self._loop.call_later(LOOK_EVERY, self._look)

    def _fail(self, failure: BaseException) -> None:
        self._failure = self._failure or failure
        self._changed.set()

    def close(self) -> None:
        """Nothing of it is with the loop any more."""
        if self._is_open:
            self._loop.remove_reader(self.process.reader.connection.fileno())
        self._close_lines()
        for timer in self._timers.values():
            timer.cancel()
