"""A call that starts from a template: a process that has imported the application, or what it uses, and forks.

A worker that was forked from one has a socket to it (`LOWMEM_SERVE_CALLS`, crates/bridge/src/calls.rs). What is sent
into that never waits, and what was asked for is told the function only once its process is known: a template that
stands still, or has gone, costs a call a moment and never runs it later.
"""

import array
import os
import select
import signal
import socket
import time

from lowmem_serve.isolated.process import GONE, Process

VARIABLE = "LOWMEM_SERVE_CALLS"
"""The number of the socket's descriptor, and of the socket."""

PATIENCE = 1.0
"""Seconds in which a template has a process; then the call starts a fresh interpreter."""


class Asked:
    """A process that a template was asked for."""

    def __init__(self, calls: int, output: int | None) -> None:
        self._connection, theirs = socket.socketpair()
        self.status, told = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """Readable once the template has answered, or has declined, or is gone."""
        reading, self._lifeline = os.pipe()
        try:
            attached = theirs.fileno(), told.fileno(), reading
            _send(calls, *attached, *([] if output is None else [output]))
        except BaseException:
            self.give_up()
            raise
        finally:
            theirs.close()
            told.close()
            os.close(reading)

    def process(self) -> "Forked | None":
        """The process, once the status is readable; without one there is nothing left of this."""
        try:
            text, files, _, _ = socket.recv_fds(self.status, 64, 1, socket.MSG_DONTWAIT)
        except OSError:
            text, files = b"", []
        if not files:
            self.give_up()
            return None
        pid, inherited = _numbers(text)
        return Forked(pid, inherited, files[0], self._connection, self.status, self._lifeline)

    def give_up(self) -> None:
        """The template may answer later: its process finds nothing to do."""
        self._connection.close()
        self.status.close()
        os.close(self._lifeline)


def patience(end: float | None) -> float:
    """How long a call that must have ended by then waits for a template, in seconds."""
    return PATIENCE if end is None else min(PATIENCE, max(end - time.monotonic(), 0))


def ask(output: int | None) -> Asked | None:
    """Asks the template of this process, if it has one that may answer; for a process whose output goes there."""
    calls = _calls()
    if calls is None:
        return None
    try:
        return Asked(calls, output)
    except OSError:
        # It is gone, or has more to do than the socket holds.
        return None


def _calls() -> int | None:
    number, _, inode = os.environ.get(VARIABLE, "").partition(":")
    try:
        return int(number) if os.fstat(int(number)).st_ino == int(inode) else None
    except (ValueError, OSError):
        # Not set; or inherited from a worker, without the socket.
        return None


def _send(calls: int, *descriptors: int) -> None:
    own = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=calls)
    try:
        attached = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        own.sendmsg([b"null"], attached, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    finally:
        own.detach()


def _numbers(text: bytes) -> tuple[int, int]:
    first, second = text.strip(b"[]").split(b",")
    return int(first), int(second)


class Forked(Process):
    """A template's child. The template collects it and tells how it has ended."""

    def __init__(
        self,
        pid: int,
        inherited: int,
        handle: int,
        connection: socket.socket,
        status: socket.socket,
        lifeline: int,
    ) -> None:
        super().__init__(pid, handle, status.fileno(), connection)
        self.inherited = inherited
        # Its number may be another's once the template has collected it; the handle never is.
        self._status, self._lifeline = status, lifeline
        self._code: int | None = None

    def hello(self) -> dict[str, object]:
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
        return {**super().hello(), "environment": environment, "directory": _directory()}

    def kill(self) -> None:
        self._code = self._told()
        if self._code is None and not is_readable(self.handle, 0):
            try:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
                self._code = -signal.SIGKILL
            except ProcessLookupError:
                # It ended in this moment.
                pass

    def end(self) -> int | None:
        if self.is_open:
            self.is_open = False
            if self._code is None:
                self.kill()
            is_readable(self.handle, GONE)
            # The kernel kills the group.
            os.close(self._lifeline)
            self.reader.close()
            self._status.close()
            os.close(self.handle)
        return self._code

    def wait(self, timeout: float) -> None:
        is_readable(self.ended, timeout)

    def _told(self) -> int | None:
        """The exit code, if the template has told it; a template that is gone tells none."""
        try:
            text = self._status.recv(64, socket.MSG_DONTWAIT)
        except OSError:
            return None
        return _numbers(text)[0] if text else None


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        # It has been removed.
        return None


def is_readable(descriptor: int, timeout: float) -> bool:
    """Whether a descriptor becomes readable in time. It blocks."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
