"""Starting, weighing and ending the process of a call. No event loop here."""

import os
import signal
import socket
import subprocess
import sys

from lowmem_serve.isolated import child, wire

PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where this package is: the process imports it before it knows the caller's path."""

BOOT = f"import sys; sys.path.insert(0, {PACKAGES!r}); from lowmem_serve.isolated.child import main; main()"

PAGE = os.sysconf("SC_PAGE_SIZE")


class Process:
    """A process that runs one call. Whatever has happened to it, `end` leaves nothing of it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        reading, self._lifeline = os.pipe()
        try:
            self._popen = _start(theirs.fileno(), reading)
        except BaseException:
            ours.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(reading)
        self.pid = self._popen.pid
        self.ended = os.pidfd_open(self.pid)
        """Readable once it has ended."""
        self.reader = wire.Reader(ours)
        self._is_open = True

    def call(self, call: dict[str, object]) -> None:
        """Tells it what to run. Never waits: what is large goes beside the socket."""
        hello = {"path": sys.path, "argv": sys.argv}
        connection = self.reader.connection
        try:
            wire.send(connection, child.HELLO, hello, wire.LARGE_CALL)
            wire.send(connection, child.CALL, call, wire.LARGE_CALL)
        except (BrokenPipeError, ConnectionResetError):
            # It has ended already; how, its end tells.
            pass
        connection.setblocking(False)

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
        return sum(map(_anonymous, _family(self.pid)))

    def end(self) -> int:
        """Kills what is left of it, and gives everything back; its exit code, a signal's number negative."""
        if self._is_open:
            self._is_open = False
            # The group: it is a child that has not been collected, so that the number is still its own.
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            os.close(self._lifeline)
            self.reader.close()
            # A process that was killed ends; one that sits in the kernel for a moment is waited for.
            self._popen.wait()
            os.close(self.ended)
        return self._popen.returncode

    def wait(self, timeout: float) -> int | None:
        """Its exit code, if it ends within this time: one that has said all is about to."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


def _start(connection: int, lifeline: int) -> subprocess.Popen:
    # Started by vfork and exec: nothing of this process is copied, however large it is.
    command = [sys.executable, *subprocess._args_from_interpreter_flags(), "-P", "-c", BOOT]
    return subprocess.Popen(
        [*command, str(connection), str(lifeline)],
        stdin=subprocess.DEVNULL,
        pass_fds=(connection, lifeline),
        start_new_session=True,
    )


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
