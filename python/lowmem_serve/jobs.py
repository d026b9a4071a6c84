"""Work for later: `enqueue` puts a task into the queue of lowmem-serve, `result` waits for what came of it.

    from lowmem_serve import jobs
    task = jobs.enqueue("myapp.mail:send", user=3, delay="5m", key="mail-3")
    outcome = await jobs.result(task, timeout=60)

A task names its function, so that the process that enqueues it imports nothing; arguments and results are JSON.
It is a file in the queue's directory, which the server watches (`src/supervisor/jobs/queue.rs` has the other
end). This works in any process of the same user: under another server, in a script, in a test; the server that
runs the tasks finds them when it starts.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DIRECTORY_VARIABLE = "LOWMEM_SERVE_QUEUE"
"""Names the queue's directory; the server sets it for its workers and runs."""

UNITS = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}

MOST_BYTES = 16 << 20
"""A task's file may not be longer: tasks name data, and do not carry it."""

FIRST_LOOK, LONGEST_LOOK = 0.01, 0.25
"""Seconds between two looks for a result: short ones first, as most tasks are short."""


class NoQueue(RuntimeError):
    """There is no queue that a task could be put into."""


class TaskFailed(Exception):
    """A task was given up. `type` is the name of what its function raised, if it raised."""

    def __init__(self, task: str, message: str, type: str = "") -> None:
        super().__init__(f"task {task}: {message}")
        self.task = task
        self.message = message
        self.type = type


class Outcome(NamedTuple):
    """The result of a task."""

    value: object
    """The value that its function returned."""


def enqueue(
    function: str,
    /,
    *args: object,
    delay: str | float | None = None,
    key: str | None = None,
    **kwargs: object,
) -> str:
    """Enqueues a call of `module:function`, and returns the task's id.

    With `delay` (seconds, or a text like "5m") it runs no sooner than that. While a task with the same `key` waits
    or runs, no second one is enqueued, and the id is that of the first. Arguments with these names go by `put`.
    """
    return put(function, args, kwargs, delay=delay, key=key)


def put(
    function: str,
    args: Sequence[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    delay: str | float | None = None,
    at: float | None = None,
    key: str | None = None,
) -> str:
    """As `enqueue`, with the arguments in a sequence and a mapping; `at` is a time in seconds since 1970."""
    module, _, name = function.partition(":")
    if not module or not name:
        raise ValueError(f"{function!r} is no function like myapp.mail:send")
    now = time.time()
    due = max(at if at is not None else now + seconds(delay), 0.0)
    key_hash = hashlib.sha256(key.encode()).hexdigest() if key is not None else None
    id = os.urandom(10).hex()
    task = {
        "id": id,
        "run": function,
        "args": list(args),
        "kwargs": dict(kwargs or {}),
        "key": key,
        "key_hash": key_hash,
        "enqueued": now,
    }
    try:
        text = json.dumps(task, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"the arguments of a task are JSON: {error}") from None
    if len(text) > MOST_BYTES:
        raise ValueError(
            f"the arguments of a task are {len(text)} bytes, more than 16 MB; pass the name of a file"
        )
    return _add(directory(), id, f"{int(due * 1000):014}-{id}-0.json", text, key_hash)


async def result(task: str, timeout: float | None = None) -> object:  # noqa: ASYNC109 (as `wait` has it)
    """Waits for the end of a task, and returns what its function did.

    Raises `TaskFailed` when the task was given up, `TimeoutError` when it takes longer.
    """
    import asyncio

    place, end, pause = directory(), _end(timeout), FIRST_LOOK
    while (outcome := _outcome(place, task)) is None:
        await asyncio.sleep(_pause(task, end, pause))
        pause = min(pause * 2, LONGEST_LOOK)
    return outcome.value


def wait(task: str, timeout: float | None = None) -> object:
    """As `result`, for code that is not asynchronous."""
    place, end, pause = directory(), _end(timeout), FIRST_LOOK
    while (outcome := _outcome(place, task)) is None:
        time.sleep(_pause(task, end, pause))
        pause = min(pause * 2, LONGEST_LOOK)
    return outcome.value


def peek(task: str) -> Outcome | None:
    """The result of a task, or None while it waits or runs. Raises `TaskFailed` when it was given up."""
    return _outcome(directory(), task)


def directory() -> str:
    """The queue's directory, of the server that this process belongs to, or that has the same state directory."""
    named = os.environ.get(DIRECTORY_VARIABLE)
    if named:
        return named
    place = os.path.join(_state_directory(), "queue")
    if not os.path.isdir(os.path.join(place, "tasks")):
        raise NoQueue(
            f"there is no queue in {place}: start lowmem-serve with --queue or [queue] in its settings file, or name "
            f"its state directory in LOWMEM_STATE_DIR"
        )
    return place


def seconds(delay: str | float | None) -> float:
    """`"5m"`, `"1h30m"`, or a number of seconds."""
    if delay is None:
        return 0.0
    if isinstance(delay, int | float):
        return float(delay)
    parts = re.findall(r"(\d+)([dhms])", delay)
    if not parts or "".join(number + unit for number, unit in parts) != delay:
        raise ValueError(f"{delay!r} is no time like 90s, 5m or 1h30m")
    return sum(int(number) * UNITS[unit] for number, unit in parts)


def _state_directory() -> str:
    """Where the server looks, too (docs/jobs.md)."""
    variables = os.environ
    if named := variables.get("LOWMEM_STATE_DIR"):
        return named
    if unit := variables.get("STATE_DIRECTORY"):
        return unit.partition(":")[0]
    home = variables.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(home, "lowmem-serve")


def _add(place: str, id: str, name: str, text: str, key_hash: str | None) -> str:
    """Writes the task's file beside its place, has it on the disk, and moves it there in one step."""
    beside = os.path.join(place, "tmp", f"{id}.json")
    _write(beside, text)
    if key_hash is not None:
        held = _hold_key(os.path.join(place, "keys", key_hash), beside)
        if held is not None:
            os.unlink(beside)
            return held
    tasks = os.path.join(place, "tasks")
    os.rename(beside, os.path.join(tasks, name))
    _settle(tasks)
    return id


def _hold_key(key: str, beside: str) -> str | None:
    """Takes the key for this task; or the id of the task that has it."""
    while True:
        try:
            os.link(beside, key)
            return None
        except FileExistsError:
            try:
                with open(key, encoding="utf-8") as stream:
                    return json.load(stream)["id"]
            except FileNotFoundError:
                # Its task has ended in this moment.
                continue


def _write(file: str, text: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise NoQueue(f"there is no queue in {os.path.dirname(os.path.dirname(file))}") from None
    try:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except BaseException:
        # On a full disk it would take what is left.
        os.unlink(file)
        raise
    finally:
        os.close(descriptor)


def _settle(directory: str) -> None:
    """Has the name on the disk, too: a task that was accepted outlives a power failure."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _outcome(place: str, task: str) -> Outcome | None:
    if not task.isalnum():
        raise ValueError(f"{task!r} is no task's id")
    try:
        with open(os.path.join(place, "results", f"{task}.json"), encoding="utf-8") as stream:
            found = json.load(stream)
    except FileNotFoundError:
        return None
    if found["status"] == "failed":
        raise TaskFailed(task, found["message"], found["type"])
    if "unwritable" in found:
        raise TypeError(f"task {task} is done, but returned a {found['unwritable']}, which is not JSON")
    return Outcome(found["value"])


def _end(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _pause(task: str, end: float | None, pause: float) -> float:
    """How long until the next look."""
    if end is None:
        return pause
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"task {task} has not ended yet")
    return min(pause, left)
