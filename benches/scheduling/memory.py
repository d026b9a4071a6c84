"""Functions that take memory."""

import time


def take(megabytes: int) -> int:
    """Touches every page of so many megabytes."""
    taken = bytearray(megabytes << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    return len(taken)


def hold(megabytes: int, seconds: float) -> int:
    """The same for a while."""
    taken = bytearray(megabytes << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    time.sleep(seconds)
    return len(taken)
