"""A function that takes memory."""


def take(megabytes: int) -> int:
    """Touches every page of so many megabytes."""
    taken = bytearray(megabytes << 20)
    taken[::4096] = b"x" * len(taken[::4096])
    return len(taken)
