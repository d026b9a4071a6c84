"""The process of a call: it runs one function, sends what comes of it, and ends.

It is started by a caller (`fresh.py`), or forked from a template for it (`forked.py`), with a socket and a lifeline,
a pipe whose other end the caller holds: the kernel kills the process group when that end is closed, so that a caller
that goes away, in whatever way, leaves nothing behind.
"""

import contextvars
import fcntl
import importlib
import os
import pickle
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable

from lowmem_serve import after_fork
from lowmem_serve.isolated import wire
from lowmem_serve.isolated.context import TRACING

HELLO, CALL, MORE = b"H", b"C", b"M"
"""From the caller: where modules are; what to call; room for another item."""

RETURNED, RAISED, ITEM, END = b"R", b"X", b"I", b"E"
"""To the caller."""

NICE_VARIABLE = "LOWMEM_SERVE_ISOLATED_NICE"
"""Names the variable with the value of `--isolated-nice`."""

NICE = 5
"""Without it. A worker beside calls that compute waits less for its turn then."""

HIGHEST_NICE = 19

OOM_SCORE, HIGHEST_OOM_SCORE = 500, 1000
"""Added to the caller's: when memory is short, a call goes before a worker, as a run of a job does."""

WINDOW = 4
"""Items of a stream that are under way at most."""


def main() -> None:
    """For `python -c`: the descriptors are the arguments, and the function, for lists of processes."""
    connection, lifeline = (int(word) for word in sys.argv[1:3])
    tie(lifeline)
    with socket.socket(fileno=connection) as caller:
        serve(caller)


def forked(connection: int, show: Callable[[str], None]) -> None:
    """In a process that was forked from a template, whose lifeline is tied."""
    after_fork.renew()
    with socket.socket(fileno=connection) as caller:
        serve(caller, show)
    after_fork.leave(0)


def tie(lifeline: int) -> None:
    """Has the kernel kill this process group when the other end of the lifeline is closed."""
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_inheritable(lifeline, False)
    look = select.poll()
    look.register(lifeline, 0)
    if look.poll(0):
        # It was closed before the kernel was told to watch it.
        os.killpg(0, signal.SIGKILL)


def serve(connection: socket.socket, show: Callable[[str], None] | None = None) -> None:
    """Runs the call that comes over the socket; `show` has the process named after its function."""
    connection.set_inheritable(False)
    reader = wire.Reader(connection)
    hello = _next(reader, HELLO)
    if hello is None:
        return
    sys.path[:] = hello["path"]
    sys.argv[:] = hello["argv"]
    if "environment" in hello:
        _surround(hello["environment"], hello["directory"])
    _step_back()
    try:
        call = _next(reader, CALL)
        if call is None:
            return
        if show is not None:
            show(f"{call['module']}.{call['name']}")
        function = resolve(call["module"], call["name"])
        context = _context(call["context"])
        if call["streams"]:
            context.run(_stream, reader, function, call)
        else:
            value = context.run(_run, function, call["args"], call["kwargs"])
            _answer(connection, RETURNED, value)
    except BaseException as error:
        _answer(connection, RAISED, raised(error))


def _surround(environment: dict[str, str], directory: str | None) -> None:
    """Has the caller's surroundings, which may be others than the template's."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if directory is not None:
        os.chdir(directory)


def _step_back() -> None:
    """Has the caller, and those that it serves, go first where processors or memory are scarce."""
    nice = int(os.environ.get(NICE_VARIABLE) or NICE)
    os.nice(nice)
    if nice:
        _lower_session(nice)
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            score = int(file.read()) + OOM_SCORE
            file.seek(0)
            file.write(str(min(score, HIGHEST_OOM_SCORE)))
    except (OSError, ValueError):
        # A container without /proc, or one that may not be written to.
        pass


def _lower_session(nice: int) -> None:
    """Makes the session nicer than the parent's. Where the kernel schedules sessions against each other (autogroup), the
    niceness of a process counts within its session only, and this process has one for itself."""
    try:
        with open(f"/proc/{os.getppid()}/autogroup") as file:
            # "/autogroup-73 nice 0"; empty for a process that was started without any session of its own, as by init.
            above = int(file.read().rpartition(" ")[2] or 0)
        with open("/proc/self/autogroup", "w") as file:
            file.write(str(min(above + nice, HIGHEST_NICE)))
    except (OSError, ValueError):
        # The kernel does no such thing, or has done it for another process in the last tenth of a second and this one
        # is not root's.
        pass


def _next(reader: wire.Reader, wanted: bytes) -> object:
    while (message := reader.take()) is None:
        if not reader.read():
            # The caller has gone before it has called.
            return None
    kind, content = message
    if kind != wanted:
        raise RuntimeError(f"the caller sent {kind!r} out of place")
    return content


def resolve(module: str, name: str) -> object:
    """A function by its name; of one that is always isolated (`isolated.function`), what it calls."""
    found: object = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return getattr(found, "__isolated__", found)


def _run(function, args, kwargs):
    value = function(*args, **kwargs)
    if hasattr(value, "__await__"):
        import asyncio

        async def awaited():
            return await value

        return asyncio.run(awaited())
    return value


def _stream(reader: wire.Reader, function, call) -> None:
    items = function(*call["args"], **call["kwargs"])
    if hasattr(items, "__aiter__"):
        import asyncio

        async def every():
            sent = 0
            async for item in items:
                sent = _pass(reader, item, sent)

        asyncio.run(every())
    else:
        sent = 0
        for item in items:
            sent = _pass(reader, item, sent)
    wire.send(reader.connection, END, None)


def _pass(reader: wire.Reader, item: object, under_way: int) -> int:
    """Sends an item once there is room for it; how many are under way then."""
    while under_way >= WINDOW:
        while (message := reader.take()) is None:
            if not reader.read():
                raise SystemExit
        under_way -= message[0] == MORE
    wire.send(reader.connection, ITEM, item)
    return under_way + 1


def _answer(connection: socket.socket, kind: bytes, content: object) -> None:
    # The caller ends this process once it has the answer.
    after_fork.flush()
    try:
        wire.send(connection, kind, content)
    except (BrokenPipeError, ConnectionResetError):
        # The caller has gone.
        return
    except Exception as error:
        # The function's result, or exception, cannot be pickled, or is more than a memory file may hold.
        wire.send(connection, RAISED, raised(error))


def raised(error: BaseException) -> dict[str, object]:
    """An exception, if it survives pickling, and what can be told of it in any case."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    text = "".join(traceback.format_exception(type(error), error, frames))
    told = {"type": type(error).__qualname__, "message": str(error), "traceback": text, "error": None}
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)
        told["error"] = pickled
    except Exception:
        # An exception whose arguments are not those of its class, or are unpicklable: the texts are left.
        pass
    return told


def _context(values: dict[tuple[str, str], bytes]) -> contextvars.Context:
    """A context with the caller's variables, as far as the function's module knows them."""
    context = contextvars.copy_context()
    for (module, name), pickled in values.items():
        if module == TRACING:
            importlib.import_module(module)
        variable = vars(sys.modules[module]).get(name) if module in sys.modules else None
        if isinstance(variable, contextvars.ContextVar):
            context.run(variable.set, pickle.loads(pickled))
    return context
