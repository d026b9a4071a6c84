"""The lines a process has written so far, and a way to wait for the next one."""

import re
import threading
from collections.abc import Iterator
from typing import BinaryIO

PATIENCE = 40
"""Seconds after which a line that does not come is taken for one that never will, on a slow machine too."""

COLOUR = re.compile(r"\x1b\[[\d;]*m")


class Lines:
    """Reads a pipe in a thread; a waiting test is woken by each line."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def wait_for_line(self, pattern: str, timeout: float = PATIENCE, times: int = 1) -> re.Match[str]:
        """The `times`-th line in which `pattern` is found, waiting until it is written."""

        def enough() -> bool:
            return self._ended or len(self.matches(pattern)) >= times

        with self._changed:
            self._changed.wait_for(enough, timeout)
            found = self.matches(pattern)
        if len(found) < times:
            why = "the stream ended" if self._ended else f"{timeout} s passed"
            raise AssertionError(f"{why} and {pattern!r} was not written:\n{self.text}")
        return found[times - 1]

    def wait_for_end(self, timeout: float = PATIENCE) -> str:
        """All that was written, once every writer has closed the pipe."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                raise AssertionError(f"still open after {timeout} s:\n{self.text}")
        return self.text

    def has_ended(self, timeout: float) -> bool:
        """Whether every writer has closed the pipe in time, and this reader too."""
        with self._changed:
            return self._changed.wait_for(lambda: self._ended, timeout)

    def matches(self, pattern: str) -> list[re.Match[str]]:
        """Where `pattern` is found, line by line; colours do not count."""
        return [found for line in self if (found := re.search(pattern, COLOUR.sub("", line)))]

    @property
    def text(self) -> str:
        return "\n".join(self)

    def __iter__(self) -> Iterator[str]:
        with self._changed:
            return iter(list(self._lines))

    def __contains__(self, part: str) -> bool:
        return any(part in line for line in self)

    def _read(self, pipe: BinaryIO) -> None:
        with pipe:
            for line in pipe:
                self._add(line.decode(errors="replace").rstrip("\r\n"))
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _add(self, line: str) -> None:
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()
