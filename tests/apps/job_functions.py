"""Functions that the tests of jobs and of the queue have run."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def _mark(line: object = "") -> None:
    """A line in the file that the test has named, which says who runs and when."""
    with open(os.environ["MARKS"], "a") as marks:
        marks.write(
            f"{os.environ['LOWMEM_SERVE_JOB']} {os.environ['LOWMEM_SERVE_RUN']} {os.getpid()} {time.time()} {line}\n"
        )


def mark() -> None:
    _mark()


async def mark_later() -> None:
    await asyncio.sleep(0.01)
    _mark()


def linger() -> None:
    _mark("begun")
    time.sleep(float(os.environ.get("LINGER", "60")))
    _mark("ended")


def fail() -> None:
    _mark()
    raise ValueError("on purpose")


def fail_first() -> None:
    _mark()
    if os.environ["LOWMEM_SERVE_ATTEMPT"] == "1":
        raise ValueError("on purpose")


def grow() -> None:
    _mark()
    kept = bytearray(120 << 20)
    time.sleep(60)
    del kept


def brood() -> None:
    """Children in its session, that ignore SIGTERM as it does itself."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleeper = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    children = [subprocess.Popen([sys.executable, "-c", sleeper], stdout=subprocess.PIPE) for _ in range(2)]
    for child in children:
        assert child.stdout
        child.stdout.readline()
    _mark(" ".join(str(child.pid) for child in children))
    time.sleep(60)


def die() -> None:
    _mark()
    os.kill(os.getpid(), signal.SIGSEGV)


def look_around() -> None:
    """What it has inherited."""
    sockets = [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]
    score = Path("/proc/self/oom_score_adj").read_text().strip()
    group = os.getsid(0) == os.getpid() == os.getpgid(0)
    print(
        f"sockets={sum('socket:' in name for name in sockets)} oom={score} own_session={group} nice={os.nice(0)}"
    )


def add(a: int, b: int) -> int:
    _mark(f"{a} {b}")
    return a + b


def unwritable() -> object:
    return object()
