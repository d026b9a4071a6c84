"""One call in a process of its own: its result comes back, its memory is gone.

    from lowmem_serve import isolated
    pdf = await isolated(render_pdf, order_id, timeout=60, max_memory="500M")

    @isolated.function(timeout=60, concurrent=2)
    def thumbnail(path): ...                     # await thumbnail(path); thumbnail.sync(path) in threads and WSGI

    async for row in isolated.stream(export_rows, year): ...

The process is forked from the template, where the server has one, else a fresh interpreter that imports the function's
module only; the caller's is never forked. It works in any process, under any server and any asyncio loop
(docs/isolated.md).
"""

import functools
import os
import re
import sys
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

CONCURRENT_VARIABLE = "LOWMEM_SERVE_ISOLATED"
"""How many calls of this process run at once."""

UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class Timeout(TimeoutError):
    """The call took longer than it may, its wait for a free place included. Its process was killed."""


class OutOfMemory(MemoryError):
    """The call had more memory than it may. Its process was killed."""


class Died(RuntimeError):
    """The process ended before the call: by a signal, or by an exit code; or it is not known how."""

    def __init__(self, signal: int | None, code: int | None = None) -> None:
        how = "has ended, and its template, too" if code is None else f"exited with code {code}"
        super().__init__(f"the process {how if signal is None else f'was killed by signal {signal}'}")
        self.signal = signal
        self.code = code


class RemoteError(RuntimeError):
    """The function raised something that cannot be pickled; `type` is the name of its class."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(f"{type}: {message}")
        self.type = type


class RemoteTraceback(Exception):
    """The cause of an exception that a call has raised: where it was raised in the process."""

    def __init__(self, traceback: str) -> None:
        super().__init__(traceback)
        self.traceback = traceback

    def __str__(self) -> str:
        return f'\n"""\n{self.traceback}"""'


async def call(
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout: float | None = None,  # noqa: ASYNC109 (as `sync` has it)
    max_memory: str | int | None = None,
    **kwargs: Any,
) -> Any:
    """Calls a module-level function, plain or asynchronous, in a process of its own, and returns what it returns.

    Cancelling the caller kills the process. Arguments that are called `timeout` or `max_memory` go by
    `isolated.function`.
    """
    return await _asynchronous(_Call(function, args, kwargs, timeout, max_memory))


def sync(
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout: float | None = None,
    max_memory: str | int | None = None,
    **kwargs: Any,
) -> Any:
    """As `call`, for code that is not asynchronous: views of WSGI, threads, scripts."""
    return _synchronous(_Call(function, args, kwargs, timeout, max_memory))


async def stream(
    function: Callable[..., Any],
    /,
    *args: Any,
    timeout: float | None = None,  # noqa: ASYNC109 (as `sync` has it)
    max_memory: str | int | None = None,
    **kwargs: Any,
) -> AsyncIterator[Any]:
    """The items of a generator, plain or asynchronous, that runs in a process of its own, a few ahead at most.

    Leaving the loop early kills the process once the iterator is closed.
    """
    from lowmem_serve.isolated import waiting

    call = _Call(function, args, kwargs, timeout, max_memory, streams=True)
    async for item in waiting.stream(call):
        yield item


def function(
    *, timeout: float | None = None, max_memory: str | int | None = None, concurrent: int | None = None
) -> Callable[[Callable[..., Any]], "Function"]:
    """Makes a function always isolated: `await f(…)`, or `f.sync(…)`; at most `concurrent` of its calls run at once."""

    def made(called: Callable[..., Any]) -> Function:
        return Function(called, timeout, max_memory, concurrent)

    return made


class Function:
    """A function that runs in a process of its own. The function itself is `__isolated__`."""

    def __init__(
        self,
        called: Callable[..., Any],
        timeout: float | None,
        max_memory: str | int | None,
        concurrent: int | None,
    ) -> None:
        from lowmem_serve.isolated.slots import Slots

        functools.update_wrapper(self, called)
        self.__isolated__ = called
        self._limits = timeout, max_memory
        self._slots = Slots(concurrent) if concurrent is not None else None

    def _call(self, args: tuple, kwargs: dict, streams: bool = False) -> "_Call":
        return _Call(self, args, kwargs, *self._limits, streams=streams, slots=self._slots)

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await _asynchronous(self._call(args, kwargs))

    def sync(self, *args: Any, **kwargs: Any) -> Any:
        return _synchronous(self._call(args, kwargs))

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        from lowmem_serve.isolated import waiting

        async for item in waiting.stream(self._call(args, kwargs, streams=True)):
            yield item


class _Call:
    """A function to call, its arguments and limits. A value."""

    def __init__(self, function, args, kwargs, timeout, max_memory, *, streams=False, slots=None) -> None:
        self.module, self.name = _name(function)
        self.args, self.kwargs, self.streams = args, kwargs, streams
        self.timeout = timeout
        self.max_memory = size(max_memory)
        self.slots = slots

    def message(self) -> dict[str, object]:
        from lowmem_serve.isolated import context

        return {
            "module": self.module,
            "name": self.name,
            "args": self.args,
            "kwargs": self.kwargs,
            "streams": self.streams,
            "context": context.carried(),
        }


def _name(function: Callable[..., Any]) -> tuple[str, str]:
    """The module and the name by which another process finds the function."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not module or not name:
        raise TypeError(f"{function!r} is no function of a module; write one that calls it")
    if module == "__main__":
        raise TypeError(
            f"{name} is in the module that was started as a script, which another process cannot import; move it into "
            f"a module of its own"
        )
    if "<" in name:
        what = "a lambda" if name.endswith("<lambda>") else "inside another function"
        raise TypeError(
            f"{module}.{name} is {what}, so another process cannot import it; move it to the top level of its module, "
            f"and pass what it uses as arguments"
        )
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if getattr(found, "__isolated__", found) is not getattr(function, "__isolated__", function):
        raise TypeError(
            f"{module}.{name} is another object than this function, so another process would call that; is it "
            f"decorated? Pass what the name stands for"
        )
    return module, name


def size(text: str | int | None) -> int | None:
    """`"500M"`, `"1G"`, or a number of bytes."""
    if text is None or isinstance(text, int):
        return text
    found = re.fullmatch(r"(\d+)([kmg]?)(?:i?b)?", text.lower())
    if not found:
        raise ValueError(f"{text!r} is no size like 500M or 1G")
    return int(found[1]) * UNITS[found[2]]


def concurrent() -> int:
    """How many calls run at once: what `--isolated-concurrent` says, else one less than there are processors, so that one
    is left to requests, and one at least."""
    named = os.environ.get(CONCURRENT_VARIABLE)
    return max(int(named) if named else len(os.sched_getaffinity(0)) - 1, 1)


async def _asynchronous(call: _Call) -> Any:
    # The event loop is not imported before there is a call: a process that makes none needs none.
    from lowmem_serve.isolated import waiting

    return await waiting.asynchronous(call)


def _synchronous(call: _Call) -> Any:
    from lowmem_serve.isolated import blocking

    return blocking.synchronous(call)


class _Callable(types.ModuleType):
    """The module, which is called as `call` is: `await isolated(f, x)`."""

    def __call__(self, function, /, *args, **kwargs):
        return call(function, *args, **kwargs)


sys.modules[__name__].__class__ = _Callable
