"""Threads and other objects that end with a worker: logged once, before an application sleeps for the first time."""

import os
import sys
from collections.abc import Collection
from typing import Any

POOLS = ("asyncio_", "ThreadPoolExecutor-", "AnyIO worker thread")
"""Threads that wait for work: a worker without requests needs none of them."""


def endings(own_tasks: Collection[Any]) -> list[str]:
    """A phrase for each kind of thing that runs by itself. `own_tasks` are those of requests and the lifespan."""
    found = [
        ("asyncio task", [_task(task) for task in _tasks() if task not in own_tasks]),
        ("thread", _threads()),
        ("child process", _children()),
    ]
    return [f"{_count(len(names), kind)} ({', '.join(sorted(names))})" for kind, names in found if names]


def _count(number: int, kind: str) -> str:
    if number == 1:
        return f"1 {kind}"
    return f"{number} {kind}es" if kind.endswith("s") else f"{number} {kind}s"


def _tasks() -> set[Any]:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return set()
    try:
        return asyncio.all_tasks()
    except RuntimeError:
        # No loop runs.
        return set()


def _task(task: Any) -> str:
    code = getattr(task.get_coro(), "__qualname__", None)
    return code or task.get_name()


def _threads() -> list[str]:
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    own = (threading.main_thread(), threading.current_thread())
    threads = [thread for thread in threading.enumerate() if thread not in own]
    return [
        thread.name
        for thread in threads
        if not thread.name.startswith(POOLS) and not isinstance(thread, threading._DummyThread)
    ]


def _children() -> list[str]:
    names = []
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
    except OSError:
        return []
    for child in children:
        try:
            with open(f"/proc/{child}/comm") as file:
                names.append(f"{file.read().strip()} {child}")
        except OSError:
            continue
    return names
