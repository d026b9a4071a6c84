"""Transforming modules in a process of its own.

A compiler leaves holes in the heap that never close: without a cache on disk, that would cost as much
memory as waiting imports save. The process is forked from this one at the first module that needs it,
which is before the application's threads, and ends with it.
"""

import posix
from marshal import dumps, loads

_ANSWER_LENGTH = 4


class Apart:
    """A child that calls `make(*arguments)` and sends back what it made."""

    def __init__(self, make):
        self._make = make
        self._pipes = None

    def __call__(self, *arguments):
        """Return what the child made; None if it could not, so that an error is raised here."""
        if self._make is None:
            return None
        try:
            if self._pipes is None:
                self._pipes = _fork(self._make)
            question, answer, _ = self._pipes
            _send(question, dumps(arguments))
            return loads(_receive(answer))
        except OSError:
            return None

    def end(self):
        """Let the child go. No other is started: by now there may be threads."""
        self._make = None
        if self._pipes is None:
            return
        question, answer, pid = self._pipes
        self._pipes = None
        posix.close(question)
        posix.close(answer)
        try:
            posix.waitpid(pid, 0)
        except ChildProcessError:
            # The application reaps all children.
            pass


def _fork(make):
    asked, question = posix.pipe()
    answer, answered = posix.pipe()
    pid = posix.fork()
    if pid == 0:
        posix.close(question)
        posix.close(answer)
        _serve(make, asked, answered)
    posix.close(asked)
    posix.close(answered)
    return question, answer, pid


def _serve(make, asked, answered):
    """Answer until nobody asks any more. Nothing of the application's is run at the end."""
    try:
        while True:
            arguments = loads(_receive(asked))
            try:
                made = make(*arguments)
            except Exception:
                made = None
            _send(answered, dumps(made))
    finally:
        posix._exit(0)


def _send(pipe, data):
    data = len(data).to_bytes(_ANSWER_LENGTH, "little") + data
    while data:
        data = data[posix.write(pipe, data) :]


def _receive(pipe):
    length = int.from_bytes(_exactly(pipe, _ANSWER_LENGTH), "little")
    return _exactly(pipe, length)


def _exactly(pipe, length):
    parts = []
    while length:
        part = posix.read(pipe, length)
        if not part:
            raise BrokenPipeError
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
