"""The standard output and error of a call, where the worker names requests (`--request-id`).

Its lines go through a pipe into the worker's log, with the function, the request's name and its trace. Everywhere else a
call has the caller's own output.
"""

import os
import sys

LONGEST_LINE = 8 << 10
"""A longer line is written in several."""

AT_ONCE = 64 << 10
"""Bytes that are read in one turn: a function that prints without end must wait for its pipe."""


class Output:
    """The reading end of a call's output."""

    def __init__(self, call, tracing) -> None:
        self._about = f"{call.module}.{call.name}", tracing.request_id.get(), tracing.traceparent.get()
        self._write = tracing.write_line
        self._rest = b""
        self.descriptor, self.theirs = os.pipe()
        os.set_blocking(self.descriptor, False)

    def started(self) -> None:
        """The process has its end, or there is none."""
        if self.theirs >= 0:
            os.close(self.theirs)
            self.theirs = -1

    def read(self) -> bool:
        """Writes the lines that are there; whether more may come."""
        try:
            data = os.read(self.descriptor, AT_ONCE)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._say(line)
        while len(self._rest) >= LONGEST_LINE:
            self._say(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        return bool(data)

    def close(self) -> None:
        """The process has ended: its last words, as far as they are in the pipe."""
        self.started()
        self.read()
        if self._rest:
            self._say(self._rest)
        os.close(self.descriptor)

    def _say(self, line: bytes) -> None:
        self._write(*self._about, line.decode(errors="replace").rstrip("\r"))


def of(call) -> Output | None:
    """Where the output of a call goes, if not to the caller's."""
    tracing = sys.modules.get("lowmem_serve.tracing")
    if tracing is None or tracing.write_line is None or tracing.request_id.get() is None:
        return None
    return Output(call, tracing)
