"""Functions that the tests of isolated calls have run."""

import asyncio
import contextvars
import logging
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from lowmem_serve import isolated

language: contextvars.ContextVar[str] = contextvars.ContextVar("language")


class Odd(Exception):
    """Its arguments are not those of its class: it does not survive pickling."""

    def __init__(self, a, b):
        super().__init__(f"{a} {b}")


def turn():
    from harness import scheduling

    return scheduling.turn()


def add(a, b=1):
    return a + b


async def add_later(a, b=1):
    await asyncio.sleep(0.01)
    return a + b


def raise_key_error(key):
    raise KeyError(key)


def raise_odd():
    raise Odd(1, 2)


def large(count):
    return bytearray(b"x" * count)


def echo(value):
    return value


def unpicklable():
    return lambda: None


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def end_by(signal):
    os.kill(os.getpid(), signal)


def leave(code):
    os._exit(code)


def grow(count):
    kept = bytearray(b"x" * count)
    time.sleep(30)
    return kept


def brood():
    """A child that outlives it, unless somebody sees to it."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(child.pid, flush=True)
    time.sleep(60)


def rows(count, note=None):
    for number in range(count):
        if note:
            with open(note, "w") as file:
                file.write(str(number))
        yield number


async def rows_later(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield bytes([number]) * 2_000_000


def failing_rows():
    yield 1
    raise ValueError("on purpose")


def spoken():
    return language.get("none")


def modules():
    return sorted(sys.modules), sys.path, os.getpid()


def session_niceness():
    """Where the kernel schedules sessions against each other."""
    try:
        return int(Path("/proc/self/autogroup").read_text().split()[-1])
    except (OSError, IndexError, ValueError):
        return None


def surroundings():
    """What tells a fork of a template from a fresh interpreter, and whose surroundings it has."""
    own = os.getpid()
    return {
        "pid": own,
        "parent": os.getppid(),
        "session": os.getsid(0),
        "noted": os.environ.get("NOTED"),
        "directory": os.getcwd(),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "input": os.readlink("/proc/self/fd/0"),
        "number": random.random(),
        "niceness": os.nice(0),
        "session_niceness": session_niceness(),
        "oom_score": int(Path("/proc/self/oom_score_adj").read_text()),
        "title": Path("/proc/self/cmdline").read_text().rstrip("\0"),
    }


def note_of(path):
    with open(path, "a") as file:
        file.write("once\n")


def speak():
    """Writes in each of the ways that there are; the request that it is called for."""
    from lowmem_serve import tracing

    print("printed")
    subprocess.run([sys.executable, "-c", "print('of a program')"])
    logging.basicConfig()
    logging.getLogger("reports").warning("logged")
    print("no end of line", end="")
    return {"request_id": tracing.request_id.get(), "traceparent": tracing.traceparent.get()}


def spoken_rows(count):
    for number in range(count):
        print("row", number, flush=True)
        yield number


def print_and_wait():
    print("before the end", flush=True)
    time.sleep(30)


def print_much(count):
    for number in range(count):
        print("line", number)
    return count


def take(count):
    return len(bytearray(b"x" * count))


kept = []


def keep(count):
    """Its memory is there until the process ends."""
    kept.append(bytearray(b"x" * count))
    return len(kept)


@isolated.function(timeout=20, concurrent=1)
def doubled(value, timeout=0):
    return value * 2, os.getpid(), timeout


@isolated.function()
def counted(count):
    yield from range(count)
