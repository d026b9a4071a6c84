"""The program of a process for a job or a task: one function, and the process ends.

The process imports the function's module with its imports, and nothing else of the application.
"""

import atexit
import contextlib
import json
import os
import sys
import traceback

from lowmem_serve import after_fork

FAILED = 1
"""The exit code when the function raises, as Python's own."""

Json = dict[str, object]


def run(target: str, task: str | None, result: str | None) -> int:
    """Runs `module:function`; with the arguments and for the result of a task, if it is one. The exit code."""
    try:
        arguments = _read(task) if task else {}
        value = call(resolve(target), arguments.get("args", []), arguments.get("kwargs", {}))
    except Exception as error:
        _print(error)
        if result:
            message = "".join(traceback.format_exception_only(error)).strip()
            _write(
                result.removesuffix(".json") + ".error",
                {"status": "failed", "type": _name(error), "message": message},
            )
        return FAILED
    if result:
        _write(result, _done(value))
    return 0


def forked(target: str, task: str | None, result: str | None, variables: list[tuple[str, str]]) -> None:
    """As `run`, in a process that was forked from a template, which ends as a script does: its threads, `atexit`."""
    after_fork.renew()
    os.environ.update(variables)
    try:
        code = run(target, task, result)
    except SystemExit as error:
        code = _code(error.code)
    except BaseException as error:
        _print(error)
        code = FAILED
    threads = sys.modules.get("threading")
    if threads is not None:
        threads._shutdown()
    atexit._run_exitfuncs()
    after_fork.leave(code)


def _code(value: object) -> int:
    """The exit code of `sys.exit(value)`."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return FAILED


def resolve(target: str) -> object:
    """The function; an error says which part of its name leads nowhere."""
    module_name, _, attributes = target.partition(":")
    if not attributes:
        raise ImportError(f"{target!r} is no function like package.module:function")
    __import__(module_name)
    found: object = sys.modules[module_name]
    for name in attributes.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ImportError(f"{module_name} has no {attributes}") from None
    return found


def call(function: object, args: list, kwargs: dict) -> object:
    """Calls it, and has what an asynchronous one returns run to its end."""
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called")
    value = function(*args, **kwargs)
    if hasattr(value, "__await__"):
        import asyncio

        value = asyncio.run(_awaited(value))
    return value


async def _awaited(value):
    return await value


def _done(value: object) -> Json:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        # It has run: a result that cannot be told is no reason to run it again.
        return {"status": "done", "value": None, "unwritable": type(value).__name__}
    return {"status": "done", "value": value}


def _read(file: str) -> Json:
    with open(file, encoding="utf-8") as stream:
        return json.load(stream)


def _write(file: str, content: Json) -> None:
    """Writes a file in one step: a reader sees all of it."""
    beside = f"{file}.{os.getpid()}"
    try:
        with open(beside, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        os.replace(beside, file)
    except BaseException:
        # On a full disk it would take what is left.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _name(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _print(error: BaseException) -> None:
    """The traceback without the frames of this file, which are the same each time."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames or error.__traceback__)
