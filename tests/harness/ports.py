"""Ports that are given by number, to a server that is started only then."""

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and is not among those that the kernel gives to whatever asks for any."""
    first, _ = map(int, RANGE.read_text().split())
    for _ in range(1000):
        port = random.randrange(10_000, first) if first > 11_000 else 0
        with socket.socket() as probe:
            # As the server does it: what is left of connections is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("no port is free")
