"""The process of a call, as its caller has it: talking to it, weighing and ending it. No event loop here.

`fresh.py` and `forked.py` have the two kinds.
"""

import os
import socket
import sys

from lowmem_serve.isolated import child, wire

PAGE = os.sysconf("SC_PAGE_SIZE")

GONE = 10.0
"""Seconds that the kernel has to end a process that was killed."""


class Process:
    """A process that runs one call. Whatever has happened to it, `end` leaves nothing of it."""

    inherited = 0
    """Bytes of anonymous memory that it has of the process that it was forked from."""

    def __init__(self, pid: int, handle: int, ended: int, connection: socket.socket) -> None:
        self.pid = pid
        self.handle = handle
        """Its pidfd, readable once it has ended."""
        self.ended = ended
        """Readable once it is known how it has ended."""
        self.reader = wire.Reader(connection)
        self.is_open = True
        """`end` has not been called."""

    def call(self, call: dict[str, object]) -> None:
        """Tells it what to run. Never waits: what is large goes beside the socket."""
        connection = self.reader.connection
        try:
            wire.send(connection, child.HELLO, self.hello(), wire.LARGE_CALL)
            wire.send(connection, child.CALL, call, wire.LARGE_CALL)
        except (BrokenPipeError, ConnectionResetError):
            # It has ended already; how, its end tells.
            pass
        connection.setblocking(False)

    def hello(self) -> dict[str, object]:
        """The message that it needs before it imports the function's module."""
        return {"path": sys.path, "argv": sys.argv}

    def more(self) -> None:
        """An item of its stream has been taken."""
        try:
            wire.send(self.reader.connection, child.MORE, None)
        except OSError:
            # It has ended.
            pass

    def private_memory(self) -> int:
        """The bytes that it and its children have for themselves, nearly: anonymous pages, by a figure that the kernel
        keeps anyway."""
        return sum(map(_anonymous, _family(self.pid))) - self.inherited

    def kill(self) -> None:
        """Kills it, without a wait: a process that has much memory takes a while to end."""
        raise NotImplementedError

    def end(self) -> int | None:
        """Kills what is left of it, waits for its end, and gives everything back; its exit code, a signal's number
        negative, if that is known."""
        raise NotImplementedError

    def wait(self, timeout: float) -> None:
        """Waits until it has ended, for so long at most: one that has said all is about to."""
        raise NotImplementedError


def _family(pid: int) -> list[int]:
    """A process and its descendants, as far as the kernel tells of children."""
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as children:
                found.extend(map(int, children.read().split()))
        except OSError:
            # It has ended, or the kernel does not tell.
            continue
    return found


def _anonymous(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm") as statm:
            _, resident, shared, *_ = map(int, statm.read().split())
    except OSError:
        return 0
    return (resident - shared) * PAGE
