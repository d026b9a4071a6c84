"""The common part of the clients: one socket, plain or encrypted, and the ways to leave."""

import socket
import ssl
import struct
from types import TracebackType
from typing import Self

PATIENCE = 40
"""Seconds after which an answer that does not come is taken for one that never will, on a slow machine too."""


class Connection:
    """`address` is (host, port), or the path of a unix socket."""

    def __init__(
        self,
        address: tuple[str, int] | str,
        timeout: float = PATIENCE,
        tls: ssl.SSLContext | None = None,
        name: str = "localhost",
    ) -> None:
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=name)

    def close(self) -> None:
        self.socket.close()

    def cut(self) -> None:
        """Ends the connection with a reset, as a client does whose machine goes away."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()
