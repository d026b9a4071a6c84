"""What `isolated.py` calls; it imports nothing."""


def nothing() -> int:
    return 1


def take(megabytes: int) -> int:
    return len(bytearray(b"x") * (megabytes << 20))
