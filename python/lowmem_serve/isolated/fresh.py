"""A fresh interpreter for a call: it imports the function's module only."""

import os
import signal
import socket
import subprocess
import sys

from lowmem_serve.isolated.process import Process

PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""Where this package is: the process imports it before it knows the caller's path."""

BOOT = f"import sys; sys.path.insert(0, {PACKAGES!r}); from lowmem_serve.isolated.child import main; main()"


class Fresh(Process):
    """A process that this one has started, for a function of this name."""

    def __init__(self, name: str, output: int | None) -> None:
        ours, theirs = socket.socketpair()
        reading, self._lifeline = os.pipe()
        try:
            self._popen = _start(theirs.fileno(), reading, name, output)
            handle = self._handle()
        except BaseException:
            ours.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(reading)
        super().__init__(self._popen.pid, handle, handle, ours)

    def _handle(self) -> int:
        """Its pidfd. Where there is none to be had (no descriptor left, or a sandbox that refuses), it is ended."""
        try:
            return os.pidfd_open(self._popen.pid)
        except BaseException:
            self._popen.kill()
            self._popen.wait()
            raise

    def kill(self) -> None:
        # The group: it is a child that has not been collected, so that the number is still its own.
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def end(self) -> int:
        if self.is_open:
            self.is_open = False
            self.kill()
            os.close(self._lifeline)
            self.reader.close()
            # A process that was killed ends; one that sits in the kernel for a moment is waited for.
            self._popen.wait()
            os.close(self.ended)
        return self._popen.returncode

    def wait(self, timeout: float) -> None:
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            pass


def _start(connection: int, lifeline: int, name: str, output: int | None) -> subprocess.Popen:
    # Started by vfork and exec: nothing of this process is copied, however large it is.
    command = [sys.executable, *subprocess._args_from_interpreter_flags(), "-P", "-c", BOOT]
    return subprocess.Popen(
        [*command, str(connection), str(lifeline), name],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(connection, lifeline),
        start_new_session=True,
    )
