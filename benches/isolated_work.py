"""The functions that `isolated.py` calls; nothing else is imported."""

import os
import signal
import time


def nothing() -> int:
    return 1


def take(megabytes: int) -> int:
    return len(bytearray(b"x") * (megabytes << 20))


def wait(seconds: float) -> None:
    time.sleep(seconds)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
